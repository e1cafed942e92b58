//! The tour of README.md, typed literally into two terminals: what stands there works.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use gorgone_integration_tests::Terminal;

/// What a line shows beside ending well. Each must be part of a line of the tour.
const SHOWN: &[(&str, &[&str])] = &[
    ("gorgonectl status  ", &["node 1 (", "MODULE", "COMMAND"]),
    ("'uptime; who'", &["load average"]),
    ("for i in 1 2 3", &["1\n2\n3"]),
    ("command ls -l /tmp", &["total"]),
    ("--timeout 2", &["\n124"]),
    ("log --follow $token", &["OK", "done"]),
    ("--code ko  ", &["KO"]),
    ("cancel $token", &["killed while it ran"]),
    ("$API/core/action/command -d", &["{\"token\":\""]),
    ("command?wait=10s", &["Logs found", "load average"]),
    ("$API/log?limit=2", &["\"next\":"]),
    ("$token/stream", &["event: end", "cancelled"]),
    ("gorgonectl nodes", &["NODE", "20", "pull"]),
    ("request INFORMATION", &["\"modules\""]),
    ("--json log", &["{\"code\""]),
    ("help log", &["--follow", "Examples"]),
    ("config show", &["GORGONECTL_SERVER"]),
    ("config check", &["configuration is fine"]),
    ("log --code ko   ", &["reason=unknown"]),
];

/// The lines of the tour: those that are indented in its section.
fn tour(readme: &str) -> Vec<&str> {
    let sections = readme.split("\n## ");
    let tour = sections.filter(|section| section.starts_with("A first tour\n"));
    let lines = tour.flat_map(str::lines);
    lines.filter_map(|line| line.strip_prefix("    ")).collect()
}

#[test]
fn the_tour_of_the_readme_works_as_it_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let lines = tour(&readme);
    assert!(lines.len() > 15, "{lines:?}");
    for (part, _) in SHOWN {
        let found = lines.iter().any(|line| line.contains(part));
        assert!(found, "no line of the tour has '{part}'");
    }

    // What stands for the repository's folder in the second terminal.
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("local");
    let free = || {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    let (port, http) = (free(), free());
    let mut daemon = Terminal::open(
        160,
        50,
        &[
            ("GORGONE_LOCAL", local.to_str().unwrap()),
            ("GORGONE_LOCAL_PORT", &port),
            ("GORGONE_LOCAL_HTTP", &http),
            ("GORGONE_LOCAL_METRICS", "0"),
        ],
    );
    // `make run` without the building, which was done for this test already.
    let run = root.join("deploy/local/run").canonicalize().unwrap();
    let run = run.display().to_string();
    daemon.enter(&run);
    let up = |times: usize| move |screen: &str| screen.matches("Ctrl-C ends it.").count() == times;
    daemon.until("gorgoned is up", up(1));

    let mut tour = Terminal::open(120, 50, &[]);
    tour.run(&format!("cd {}", folder.path().display()));
    let screen = daemon.screen();
    let exports = screen.lines().map(str::trim);
    let exports: Vec<_> = exports.filter(|line| line.starts_with("export ")).collect();
    assert_eq!(exports.len(), 6, "{screen}");
    for export in exports {
        tour.run(export);
    }
    for line in lines {
        if line.contains("Ctrl-C") {
            tour.enter(line);
            tour.until("something to cancel", |screen| {
                screen.contains("Ctrl-C cancels") && screen.contains("running in")
            });
            tour.press(&["C-c"]);
            assert_eq!(tour.ready(), 130);
            continue;
        }
        let (said, code) = tour.run(line);
        assert_eq!(code, 0, "{line}\n{said}");
        let complaint = said.contains("gorgonectl: ") && !line.contains("--timeout 2");
        assert!(!complaint && !said.contains("bash: "), "{line}\n{said}");
        for (part, shown) in SHOWN {
            for words in shown.iter().filter(|_| line.contains(part)) {
                assert!(
                    said.contains(words),
                    "{line}\ndoes not show {words:?}:\n{said}"
                );
            }
        }
        if line.contains("pkill") {
            daemon.ready();
            daemon.enter(&run);
            daemon.until("gorgoned is up again", up(2));
        }
        if line.contains("uniq -d") {
            assert_eq!(said, "", "something ran twice");
        }
    }
    // What stood in line when everything was killed runs now, once.
    let ran = || fs::read_to_string(local.join("tour")).unwrap();
    tour.until("the whole work", |_| ran().lines().count() >= 40);
    daemon.press(&["C-c"]);
    daemon.ready();
}

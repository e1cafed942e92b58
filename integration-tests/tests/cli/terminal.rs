//! What is different when a person looks: tried in a terminal.

use gorgone_integration_tests::{Node, Terminal};

/// A terminal in whose shell gorgonectl knows the node.
fn terminal(node: &Node, columns: u16, more: &[(&str, &str)]) -> Terminal {
    let ctl = node.ctl(&[]);
    let program = std::path::Path::new(ctl.get_program());
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let variables: Vec<(String, String)> = ctl
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
        .collect();
    let mut all: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    all.push(("PATH", &path));
    all.extend(more);
    Terminal::open(columns, 50, &all)
}

#[tokio::test]
async fn tables_have_colour_where_it_is_wanted_and_fit_into_the_terminal() {
    let node = Node::start().await;
    let mut wide = terminal(&node, 160, &[]);
    let (_, code) = wide.run("gorgonectl command 'echo one line of output; exit 3'");
    assert_eq!(code, 3);
    let (said, _) = wide.run("gorgonectl log");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].trim_start().starts_with("ID"), "{said}");
    // The whole token fits: 64 digits.
    let token = lines[1].split_whitespace().nth(4).unwrap();
    assert_eq!(token.len(), 64, "{said}");
    assert!(
        wide.coloured().contains("\x1b[1m\x1b[31mKO"),
        "{}",
        wide.coloured()
    );
    for plain in ["NO_COLOR=1 gorgonectl log", "gorgonectl --color never log"] {
        wide.press(&["C-l"]);
        wide.run(plain);
        assert!(!wide.coloured().contains("[31m"), "{plain}");
    }
    let (said, _) = wide.run("gorgonectl --color always log | cat -v | tail -1");
    assert!(
        said.contains("^[[1m^[[31mKO^[[0m") && said.contains(token),
        "{said}"
    );

    let mut narrow = terminal(&node, 80, &[("NO_COLOR", "1")]);
    let (said, _) = narrow.run("gorgonectl log");
    assert!(said.contains(&format!("{}…", &token[..12])), "{said}");
    assert!(
        said.lines().all(|line| line.chars().count() <= 80),
        "{said}"
    );
    let (said, _) = narrow.run("gorgonectl log --full");
    assert!(
        said.contains(token) && said.contains("one line of output"),
        "{said}"
    );
    let (said, _) = narrow.run("gorgonectl log | cat");
    assert!(said.contains(token), "{said}");
}

#[tokio::test]
async fn long_work_says_what_it_waits_for_and_ctrl_c_cancels_it() {
    let node = Node::start_with(gorgone_integration_tests::NodeOptions {
        action: "    max_parallel: 1".to_owned(),
        ..Default::default()
    })
    .await;
    let mut terminal = terminal(&node, 120, &[]);
    terminal.enter("gorgonectl command 'echo -n half; sleep 3; echo; sleep 600'");
    terminal.until("half a line", |screen| screen.contains("half\n"));
    terminal.until("what is waited for, on a line of its own", |screen| {
        screen.contains("half\nrunning in gorgone-action · ") && screen.contains("Ctrl-C cancels")
    });
    // Another one has to wait for the only place.
    let second = terminal_of(&node);
    second.type_text("gorgonectl command 'echo second'");
    second.press(&["Enter"]);
    second.until("why it waits", |screen| {
        screen.contains("in line: gorgone-action runs 1 of 1")
    });
    terminal.press(&["C-c"]);
    assert_eq!(terminal.ready(), 130);
    let screen = terminal.screen();
    assert!(screen.contains("cancelling the request"), "{screen}");
    assert!(
        !screen.contains("running in"),
        "nothing is left of it: {screen}"
    );
    second.until("its turn", |screen| screen.contains("\nsecond\n"));
    assert!(!second.screen().contains("in line"), "{}", second.screen());
}

fn terminal_of(node: &Node) -> Terminal {
    terminal(node, 120, &[])
}

#[tokio::test]
async fn the_tab_key_completes() {
    let node = Node::start().await;
    let mut terminal = terminal(&node, 120, &[]);
    let (_, code) = terminal.run("source <(gorgonectl completion bash)");
    assert_eq!(code, 0);
    terminal.type_text("gorgonectl stat");
    terminal.press(&["Tab"]);
    terminal.until("the whole verb", |screen| {
        screen.contains("gorgonectl status ")
    });
    terminal.enter("");
    assert_eq!(terminal.ready(), 0);
    assert!(
        terminal.screen().contains("node 1 ("),
        "{}",
        terminal.screen()
    );
}

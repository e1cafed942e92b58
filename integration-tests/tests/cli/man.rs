use std::fs;
use std::process::Command;

use crate::support::alone;

#[tokio::test]
async fn manual_pages_are_complete_and_render_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let said = alone(&["man", pages.to_str().unwrap()]).await;
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    let mut names: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in [
        "gorgonectl.1",
        "gorgonectl-log.1",
        "gorgonectl-keys-generate.1",
    ] {
        assert!(names.iter().any(|other| other == name), "{names:?}");
    }
    let main = alone(&["man"]).await;
    assert_eq!(
        main.out,
        fs::read_to_string(pages.join("gorgonectl.1")).unwrap()
    );
    // Each verb of the help has a page.
    let help = alone(&["--help"]).await.out;
    let verbs = help.lines().skip_while(|line| *line != "Verbs:").skip(1);
    for line in verbs.take_while(|line| !line.is_empty()) {
        let verb = line.split_whitespace().next().unwrap();
        let page = format!("gorgonectl-{verb}.1");
        assert!(verb == "help" || names.contains(&page), "{page} is missing");
    }
    for name in names {
        let file = pages.join(&name);
        let rendered = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l"])
            .arg(&file)
            .env("MANWIDTH", "100")
            .output();
        let Ok(rendered) = rendered else {
            return eprintln!("man is not installed: the pages were not rendered");
        };
        let text = String::from_utf8(rendered.stdout).unwrap();
        let errors = String::from_utf8_lossy(&rendered.stderr).into_owned();
        assert!(
            rendered.status.success() && errors.is_empty(),
            "{name}: {errors}"
        );
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION"] {
            assert!(text.contains(section), "{name} has no {section}:\n{text}");
        }
        if name == "gorgonectl.1" {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for words in ["EXIT STATUS", "124", "ctl.yml", "your private key", "VERBS"] {
                assert!(text.contains(words), "{name} does not say {words}:\n{text}");
            }
        }
    }
}

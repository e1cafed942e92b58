use std::process::Command;

use gorgone_integration_tests::Node;

use crate::support::{alone, shell};

/// What bash offers behind this line.
async fn offered(node: &Node, line: &str) -> Vec<String> {
    let script = format!(
        "source <(gorgonectl completion bash)
         line={line:?}
         COMP_LINE=$line COMP_POINT=${{#line}}
         read -ra COMP_WORDS <<< \"$line\"
         [[ $line == *' ' ]] && COMP_WORDS+=('')
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
         _gorgonectl gorgonectl \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let said = shell(node, &script).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    said.out.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn bash_completes_verbs_flags_and_values() {
    let node = Node::start().await;
    assert_eq!(offered(&node, "gorgonectl stat").await, ["status"]);
    assert_eq!(offered(&node, "gorgonectl log --fol").await, ["--follow"]);
    let keys = offered(&node, "gorgonectl keys ").await;
    for verb in ["generate", "thumbprint"] {
        assert!(keys.iter().any(|word| word == verb), "{keys:?}");
    }
    assert_eq!(
        offered(&node, "gorgonectl --color ").await,
        ["auto", "always", "never"]
    );
    assert!(
        offered(&node, "gorgonectl ")
            .await
            .contains(&"engine".to_owned())
    );
}

#[tokio::test]
async fn scripts_are_made_for_three_shells() {
    for (name, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let said = alone(&["completion", name]).await;
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.contains("thumbprint"), "{name}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, said.out).unwrap();
        match Command::new(name).arg(check).arg(&file).output() {
            Ok(read) => assert!(read.status.success(), "{name}: {read:?}"),
            Err(_) => eprintln!("{name} is not installed: its script was not read by it"),
        }
    }
    let said = alone(&["completion", "cmd.exe"]).await;
    assert_eq!(said.code, 2);
}

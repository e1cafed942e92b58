use std::io::Write;
use std::process::Stdio;

use gorgone_integration_tests::{Node, NodeOptions};

use crate::support::{Said, ctl};

#[tokio::test]
async fn engine_submits_lines_with_a_time_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("centengine.cmd");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let node = Node::start_with(NodeOptions {
        action: format!("    engine_pipe: {}", pipe.display()),
        ..NodeOptions::default()
    })
    .await;
    // An end that stays open, so that nothing is lost between two writers.
    let mut engine = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let said = ctl(
        &node,
        &[
            "engine",
            "ENABLE_HOST_CHECK;host1",
            "[1417705150] DISABLE_HOST_CHECK;hôst2",
        ],
    )
    .await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    let lines = read(&mut engine);
    assert!(lines[0].starts_with('[') && lines[0].ends_with("] ENABLE_HOST_CHECK;host1"));
    assert_eq!(lines[1], "[1417705150] DISABLE_HOST_CHECK;hôst2");

    let mut command = node.ctl(&["--json", "engine", "--file", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"[1] A;a\n\n[2] B;b\n").unwrap();
    drop(input);
    let said: Said = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap().into())
        .await
        .unwrap();
    assert_eq!(said.json().last().unwrap()["code"], 1);
    assert_eq!(read(&mut engine), ["[1] A;a", "[2] B;b"]);

    let gone = folder.path().join("nowhere").display().to_string();
    ctl(&node, &["engine", "--pipe", &gone, "X;y"])
        .await
        .one_line_error("nowhere");
    ctl(&node, &["engine", "--file", "/nonexistent/lines"])
        .await
        .one_line_error("cannot read /nonexistent/lines");
}

/// What stands in the pipe: whole lines.
fn read(engine: &mut std::fs::File) -> Vec<String> {
    use std::io::Read;
    let mut bytes = [0; 4096];
    let count = engine.read(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    text.lines().map(str::to_owned).collect()
}

use gorgone_integration_tests::{Node, NodeOptions, eventually};
use serde_json::Value;

use crate::support::{Said, alone, ctl};

async fn node() -> Node {
    let node = Node::start_with(NodeOptions {
        modules: r#"  - name: cron
    enable: true
    timezone: Europe/Paris
    cron:
      - { id: night, timespec: "30 2 * * mon-fri", action: COMMAND, parameters: { command: "true" } }
"#
        .to_owned(),
        ..NodeOptions::default()
    })
    .await;
    // A module that is not there yet is one that has no answer.
    eventually("the jobs are told", async || {
        ctl(&node, &["cron", "list"]).await.code == 0
    })
    .await;
    node
}

fn line<'a>(said: &'a Said, id: &str) -> &'a str {
    let line = said.out.lines().find(|line| line.starts_with(id));
    line.unwrap_or_else(|| panic!("no line of {id}: {} {}", said.out, said.err))
}

#[tokio::test]
async fn a_job_is_added_listed_changed_paused_run_and_removed() {
    let node = node().await;
    let add = [
        "cron",
        "add",
        "echo",
        "0 4 1 * *",
        "--overlap",
        "forbid",
        "--",
        "echo hello",
    ];
    let said = ctl(&node, &add).await;
    assert_eq!(
        said.out, "echo: added, at 04:00 on the 1st of each month\n",
        "{}",
        said.err
    );

    let list = ctl(&node, &["cron", "list"]).await;
    assert!(line(&list, "ID").contains("NEXT"), "{}", list.out);
    let night = line(&list, "night");
    assert!(
        night.contains("file") && night.ends_with("at 02:30 on weekdays"),
        "{night}"
    );
    // The next one by the clock of whoever reads it, the last one not yet.
    let echo = line(&list, "echo").split_whitespace().collect::<Vec<_>>();
    assert!(
        echo[1].starts_with("20") && echo[1].ends_with("-01"),
        "{echo:?}"
    );
    assert_eq!(echo[3..5], ["never", "added"]);

    let change = [
        "cron",
        "edit",
        "echo",
        "--timespec",
        "*/10 * * * *",
        "--unset",
        "overlap",
    ];
    let said = ctl(&node, &change).await;
    assert_eq!(
        said.out, "echo: changed, every 10 minutes\n",
        "{}",
        said.err
    );

    assert_eq!(
        ctl(&node, &["cron", "pause", "echo", "night"]).await.code,
        0
    );
    let jobs = ctl(&node, &["--json", "cron", "list"]).await.json();
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job["suspend"] == true), "{jobs:?}");
    assert_eq!(jobs[0]["words"], "every 10 minutes");
    assert_eq!(jobs[0]["overlap"], Value::Null);
    assert_eq!(
        ctl(&node, &["cron", "resume", "night", "echo"]).await.code,
        0
    );

    let run = ctl(&node, &["cron", "run", "echo", "--wait"]).await;
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("hello"), "{}", run.out);
    eventually("the run is the job's last one", async || {
        let list = ctl(&node, &["cron", "list"]).await;
        line(&list, "echo").contains("  OK 20")
    })
    .await;
    let one = ctl(&node, &["cron", "list", "echo"]).await;
    assert!(one.out.contains("command has finished"), "{}", one.out);

    assert_eq!(
        ctl(&node, &["cron", "rm", "echo"]).await.out,
        "echo: removed\n"
    );
    let gone = ctl(&node, &["cron", "list", "echo"]).await;
    gone.one_line_error("there is no job 'echo'");
}

#[tokio::test]
async fn the_next_times_are_told_in_both_zones() {
    let node = node().await;
    let said = ctl(&node, &["cron", "next", "night", "-n", "3"]).await;
    assert_eq!(said.out.lines().count(), 4, "{} {}", said.out, said.err);
    assert!(
        said.out
            .lines()
            .skip(1)
            .all(|line| line.contains("02:30:00")),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn a_wrong_job_is_refused_whole_with_its_field() {
    let node = node().await;
    let file = node.path("jobs.yml");
    std::fs::write(
        &file,
        "- { id: good, timespec: '@daily', action: COMMAND }\n\
         - { id: bad, timespc: '@daily', action: COMMAND }\n",
    )
    .unwrap();
    let said = ctl(&node, &["cron", "add", "--file", file.to_str().unwrap()]).await;
    said.one_line_error(
        "bad: timespec: is missing; timespc: unknown field; did you mean 'timespec'?",
    );
    let jobs = ctl(&node, &["--json", "cron", "list"]).await.json();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let said = ctl(&node, &["cron", "edit", "night", "--retries", "101"]).await;
    said.one_line_error("retries: '101' is no whole number from 0 to 100");
}

#[tokio::test]
async fn a_timespec_can_be_tried_without_a_server() {
    let try_out = |spec: &'static str| async move {
        alone(&[
            "--json",
            "cron",
            "next",
            "--timespec",
            spec,
            "--timezone",
            "UTC",
            "-n",
            "2",
        ])
        .await
    };
    let said = try_out("30 2 * * *").await.json();
    assert_eq!(said[0]["words"], "every day at 02:30");
    assert_eq!(said[0]["next"].as_array().unwrap().len(), 2);
    let wrong = try_out("30 25 * * *").await;
    assert!(
        wrong.err.contains("hour '25' is not within 0-23"),
        "{}",
        wrong.err
    );
    assert_eq!(wrong.code, 2);
}

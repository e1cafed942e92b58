//! Ten thousand jobs: nothing while none is due, and all of them in the same second.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails has failed its test; the figures are for whoever reads them"
)]

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use gorgone_integration_tests::{
    History, Node, NodeOptions, Runner, ask, ended, eventually, token,
};
use gorgone_protocol::{Code, Data};
use serde_json::{Value, json};

const JOBS: usize = 10_000;

/// Seconds of processor time that a process has had.
fn processor_time(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: f64 = [fields[11], fields[12]]
        .iter()
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    // The kernel's unit for user space, on every architecture.
    ticks / 100.0
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_jobs_cost_nothing_while_they_wait_and_all_run_when_they_are_due() {
    let node = Node::start_with(NodeOptions {
        modules: "  - name: cron\n    enable: true\n".to_owned(),
        ..NodeOptions::default()
    })
    .await;
    let runner = Runner::offer(node.internal(), "TICK");
    let client = node.client().await;
    let add = async |prefix: &str, timespec: &str| {
        let ids: Vec<String> = (0..JOBS).map(|n| format!("{prefix}{n}")).collect();
        for chunk in ids.chunks(1_000) {
            let content: Vec<Value> = chunk
                .iter()
                .map(|id| {
                    json!({ "id": id, "timespec": timespec, "action": "TICK", "keep_runs": 1 })
                })
                .collect();
            let body = Data::from_value(&json!({ "content": content }));
            let answer = ask(&client, "ADDCRON", None, body).await;
            let row = ended(&client, &answer.unwrap().token.unwrap()).await;
            assert_eq!(row.code, Code::Ok, "{}", row.data);
        }
        ids
    };

    // Nothing is due: nothing happens.
    add("idle", "@yearly").await;
    let pid = node.pids("gorgone-cron")[0];
    let (before, began) = (processor_time(pid), Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let share = (processor_time(pid) - before) / began.elapsed().as_secs_f64() * 100.0;
    println!("{JOBS} jobs that wait: {share:.2} % of a core");
    assert!(share < 5.0, "{share:.2} % of a core while nothing is due");

    // All of them in the same second of each minute; the first one that comes when all are there.
    let now = || jiff::Timestamp::now().as_second();
    let second = (now() - 5).rem_euclid(60);
    let ids = add("j", &format!("* * * * * {second}")).await;
    let due = (now() + 2..)
        .find(|at| at.rem_euclid(60) == second)
        .unwrap();
    let at = jiff::Timestamp::from_second(due).unwrap();
    let suffix = format!(":{at}");
    let of_this_second = || {
        let mut started = runner.started();
        started.retain(|run| run.token.ends_with(&suffix));
        started
    };
    eventually("it is time", async || now() >= due).await;
    eventually("every job has run", async || runner.started().len() >= JOBS).await;
    // Twice would show soon.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let started = of_this_second();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for run in &started {
        *counts.entry(&run.token).or_default() += 1;
    }
    let mut late: Vec<i64> = started.iter().map(|run| run.at_ms - due * 1000).collect();
    late.sort_unstable();
    let percent = |share: usize| late[(late.len() - 1) * share / 100];
    println!(
        "{JOBS} jobs due in the same second: begun after {} ms (first), {} ms (p50), {} ms (p99), {} ms (last)",
        late[0],
        percent(50),
        percent(99),
        late[late.len() - 1],
    );
    assert!(late[0] >= 0, "begun {} ms before it was due", -late[0]);
    for id in &ids {
        let name = format!("cron:{id}:{at}");
        assert_eq!(counts.get(name.as_str()), Some(&1), "runs of {name}");
    }
    assert_eq!(counts.len(), JOBS);
    // And each is known to have ended, to core and to cron.
    let mut history = History::default();
    let tokens: Vec<_> = ids
        .iter()
        .map(|id| token(&format!("cron:{id}:{at}")))
        .collect();
    eventually("every run has ended", async || {
        history.read(&client).await;
        history.ended(&tokens) == JOBS
    })
    .await;
    assert_eq!(history.outcomes(&tokens)["OK"], JOBS);
}

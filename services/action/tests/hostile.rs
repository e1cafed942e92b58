//! Commands that misbehave: floods, garbage, children that stay, ends that come from outside.
#![allow(clippy::unwrap_used)] // in helpers of the tests too

mod support;

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use gorgone_action::settings::Settings;
use gorgone_protocol::Code;
use serde_json::json;
use support::{Bed, Folder, is_alive, settings, soon};

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn zombies() -> usize {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter(|stat| {
            let rest: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            rest[0] == "Z" && rest[1] == own
        })
        .count()
}

#[tokio::test]
async fn flood_is_cut_with_a_mark_and_costs_bounded_memory() {
    let mut bed = Bed::new(&Settings {
        max_output: 100_000,
        ..settings()
    });
    let rows = bed.run_all(json!({"command": "yes", "timeout": 0.5})).await;
    let last = &rows.last().unwrap().data;
    assert_eq!(
        (&last["reason"], &last["truncated"]),
        (&json!("timeout"), &json!(true))
    );
    let text = last["output"]["out"].as_str().unwrap();
    assert!(
        text.contains("\n[output cut here: "),
        "{}",
        &text[text.len() - 80..]
    );
    assert!(text.len() < 100_100);
    let shown: usize = rows
        .iter()
        .filter_map(|row| row.data["output"].as_str())
        .map(str::len)
        .sum();
    assert!(shown <= 100_000, "{shown} bytes were shown");
}

#[tokio::test]
async fn output_beyond_the_limit_is_read_so_that_the_command_can_end() {
    let mut bed = Bed::new(&Settings {
        max_output: 1024,
        ..settings()
    });
    let (code, data) = bed
        .sh("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2")
        .await;
    assert_eq!((code, &data["exit_code"]), (Code::Ok, &json!(0)));
    assert_eq!(data["output"]["err"], "end\n");
    assert_eq!(data["truncated"], true);
}

#[tokio::test]
async fn much_output_is_whole_up_to_the_limit() {
    let mut bed = Bed::new(&Settings {
        max_output: 3_000_000,
        ..settings()
    });
    let (code, data) = bed.sh("head -c 2700000 /dev/zero | tr '\\0' x").await;
    assert_eq!((code, data.get("truncated")), (Code::Ok, None));
    assert_eq!(data["stdout"].as_str().unwrap().len(), 2_700_000);
    assert_eq!(data["output"]["out"].as_str().unwrap().len(), 2_700_000);
}

#[tokio::test]
async fn binary_output_becomes_text_that_fits_in_a_frame() {
    let mut bed = Bed::new(&Settings {
        max_output: 600,
        ..settings()
    });
    let (code, data) = bed
        .sh(r"head -c 1000 /dev/zero; printf '\377\376ok' >&2")
        .await;
    assert_eq!(code, Code::Ok);
    assert_eq!(data["output"]["err"], "\u{fffd}\u{fffd}ok");
    let zeros = data["output"]["out"]
        .as_str()
        .unwrap()
        .matches('\0')
        .count();
    assert_eq!(zeros, 100, "each takes six bytes of JSON");
    assert!(
        data["output"]["out"]
            .as_str()
            .unwrap()
            .contains("cut here: 900 more")
    );
}

#[tokio::test]
async fn child_that_keeps_the_pipes_stays_and_does_not_hold_the_request() {
    let (code, data) = Bed::new(&settings()).sh("sleep 1000 & echo $!").await;
    assert_eq!((code, &data["exit_code"]), (Code::Ok, &json!(0)));
    let pid = data["stdout"].as_str().unwrap().trim().to_owned();
    assert!(is_alive(&pid), "services are started in this way");
    Command::new("kill").arg(&pid).status().unwrap();
}

#[tokio::test]
async fn command_that_closes_its_outputs_is_waited_for() {
    let (code, data) = Bed::new(&settings())
        .sh("exec >&- 2>&-; sleep 0.3; exit 7")
        .await;
    assert_eq!((code, &data["exit_code"]), (Code::Ko, &json!(7)));
}

#[tokio::test]
async fn stopped_command_is_ended_by_its_timeout() {
    let (_, data) = Bed::new(&settings())
        .run(json!({"command": "kill -STOP $$", "timeout": 0.2}))
        .await;
    assert_eq!(
        (&data["reason"], &data["signal_name"]),
        (&json!("timeout"), &json!("SIGTERM"))
    );
}

#[tokio::test]
async fn many_processes_of_one_command_are_all_ended() {
    let (_, data) = Bed::new(&settings())
        .run(json!({"command": "for i in 1 2 3 4 5 6 7 8 9; do (trap '' TERM; sleep 1000) & echo $!; done; wait",
            "timeout": 0.3}))
        .await;
    assert_eq!(data["reason"], "timeout");
    for pid in data["stdout"].as_str().unwrap().lines() {
        soon("it is gone", || !is_alive(pid)).await;
    }
}

#[tokio::test]
async fn thousand_commands_leave_no_zombie_and_no_open_file() {
    let mut bed = Bed::new(&Settings {
        slots: 4,
        ..settings()
    });
    for _ in 0..4 {
        bed.submit(json!({"command": "true"})).await;
    }
    let mut ended = 0;
    let mut files = None;
    for handed in 4..1000 {
        while !bed.row().await.code.is_terminal() {}
        ended += 1;
        if handed == 100 {
            files = Some(open_files());
        }
        bed.submit(json!({"command": "true"})).await;
    }
    while ended < 1000 {
        if bed.row().await.code.is_terminal() {
            ended += 1;
        }
    }
    soon("all are over", || bed.runner.active() == 0).await;
    assert_eq!(zombies(), 0);
    // Up to four requests were open when it was counted.
    assert!(
        open_files() <= files.unwrap() + 4,
        "{} then {}",
        files.unwrap(),
        open_files()
    );
}

#[tokio::test]
async fn no_more_run_at_once_than_there_are_slots() {
    let folder = Folder::new("slots");
    let go = folder.0.join("go");
    let mut bed = Bed::new(&Settings {
        slots: 2,
        ..settings()
    });
    for _ in 0..5 {
        bed.submit(json!({"command": format!(
            "echo up; while [ ! -e {} ]; do sleep 0.01; done", go.display())}))
            .await;
    }
    bed.until_output("up\n").await;
    bed.until_output("up\n").await;
    assert_eq!(bed.runner.active(), 5);
    assert!(bed.rows.try_recv().is_err(), "the third has not started");
    std::fs::write(&go, "").unwrap();
    let mut ended = 0;
    while ended < 5 {
        ended += usize::from(bed.row().await.code == Code::Ok);
    }
}

#[tokio::test]
async fn drain_lets_short_commands_finish_and_ends_long_ones() {
    let mut bed = Bed::new(&settings());
    bed.submit(json!({"command": "echo up; sleep 1000"})).await;
    bed.until_output("up").await;
    bed.submit(json!({"command": "echo quick"})).await;
    bed.runner.drain(Duration::from_millis(1200)).await;
    assert_eq!(bed.runner.active(), 0);
    let mut ends = Vec::new();
    while let Ok(row) = bed.rows.try_recv() {
        if row.code.is_terminal() {
            ends.push((row.code, row.data["reason"].clone()));
        }
    }
    assert_eq!(ends.len(), 2);
    assert!(ends.contains(&(Code::Ok, json!(null))));
    assert!(ends.contains(&(Code::Ko, json!("cancelled"))));
}

/// The other half of the next test: a service that runs a command and is killed.
#[test]
#[ignore = "run by guard_ends_commands_when_the_service_is_killed"]
fn victim() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut bed = Bed::new(&settings());
        bed.submit(json!({"command": "echo pid=$$; exec sleep 1000"}))
            .await;
        let seen = bed.until_output("pid=").await;
        std::fs::write(std::env::var("VICTIM_FILE").unwrap(), seen).unwrap();
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn guard_ends_commands_when_the_service_is_killed() {
    let folder = Folder::new("guard");
    let file = folder.0.join("pid");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim"])
        .env("VICTIM_FILE", &file)
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let read = || {
        std::fs::read_to_string(&file)
            .ok()
            .filter(|text| text.ends_with('\n'))
    };
    soon("the command runs", || read().is_some()).await;
    let pid = read().unwrap().trim().trim_start_matches("pid=").to_owned();
    assert!(is_alive(&pid));
    victim.kill().unwrap();
    victim.wait().unwrap();
    soon("the command is gone too", || !is_alive(&pid)).await;
}

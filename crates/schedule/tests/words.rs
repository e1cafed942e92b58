//! Timespecs in words.

use std::collections::btree_map::{BTreeMap, Entry};

use gorgone_schedule::{Definition, Timespec, Zones};
use serde_json::{Value, json};

#[test]
fn a_timespec_is_said_as_people_say_it() {
    let cases = [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0-59/5 * * * *", "every 5 minutes"),
        ("0,30 * * * *", "every 30 minutes"),
        ("*/5 * * * mon-fri", "every 5 minutes on weekdays"),
        (
            "*/7 * * * *",
            "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour",
        ),
        ("@hourly", "every hour"),
        ("17 * * * *", "at minute 17 of every hour"),
        ("5,20 * * * *", "at minutes 5 and 20 of every hour"),
        ("0 */2 * * *", "every 2 hours"),
        ("17 */6 * * *", "every day at 00:17, 06:17, 12:17 and 18:17"),
        ("17 */2 * * *", "at minute 17 of every 2nd hour from 0 on"),
        (
            "0 9-17 * * 1-5",
            "every hour from 09:00 to 17:00 on weekdays",
        ),
        ("30 9-17 * * *", "at minute 30 of each hour from 9 to 17"),
        ("*/15 9-17 * * *", "every 15 minutes from 09:00 to 17:45"),
        ("* 2 * * *", "every minute from 02:00 to 02:59"),
        ("* 2,5 * * *", "every minute of the hours 2 and 5"),
        (
            "0 1-23/2 * * *",
            "at 01:00, 03:00, 05:00, 07:00, 09:00, 11:00, 13:00, 15:00, 17:00, 19:00, 21:00 and 23:00",
        ),
        ("@daily", "every day at midnight"),
        ("30 2 * * *", "every day at 02:30"),
        (
            "0,30 2,14 * * *",
            "every day at 02:00, 02:30, 14:00 and 14:30",
        ),
        (
            "30 2 1,15 * *",
            "at 02:30 on the 1st and the 15th of each month",
        ),
        ("@weekly", "at midnight on Sundays"),
        ("@monthly", "at midnight on the 1st of each month"),
        ("@yearly", "at midnight on the 1st of January"),
        ("0 12 * jun *", "every day at 12:00 in June"),
        (
            "0 12 * 3-10 sat,sun",
            "at 12:00 on weekends from March to October",
        ),
        (
            "0 12 * * 1,3,5",
            "at 12:00 on Mondays, Wednesdays and Fridays",
        ),
        ("0 12 * * 1-4", "at 12:00 from Monday to Thursday"),
        (
            "0 12 1-7 * *",
            "at 12:00 on the 1st to the 7th of each month",
        ),
        (
            "0 12 */2 * *",
            "at 12:00 on every 2nd day from the 1st of each month",
        ),
        (
            "0 12 11,12,22,23,31 * *",
            "at 12:00 on the 11th, the 12th, the 22nd, the 23rd and the 31st of each month",
        ),
        (
            "0 0 13 3-10 fri",
            "at midnight on the 13th of each month from March to October, and on Fridays from March to October",
        ),
        (
            "0 0 13 * fri",
            "at midnight on the 13th of each month, and on Fridays",
        ),
        (
            "0 0 13 6,7 fri",
            "at midnight on the 13th of June and July, and on Fridays in June and July",
        ),
        (
            "0 0 */10 * mon",
            "at midnight on the 1st, the 11th, the 21st and the 31st of each month if that is a Monday",
        ),
        ("0 0 1-31 * mon", "every day at midnight"),
        ("*/5 * * feb *", "every 5 minutes in February"),
        ("* * * * * *", "every second"),
        ("* * * * * */20", "every 20 seconds"),
        ("* * * * * 10", "every minute, at second 10"),
        ("*/5 * * * * 5,6", "every 5 minutes, at seconds 5 and 6"),
        (
            "*/5 8-9 * * * */10",
            "every 10 seconds, every 5 minutes from 08:00 to 09:55",
        ),
        ("32 11 * * * 5", "every day at 11:32:05"),
        ("0 0 30 2 *", "never: at midnight on the 30th of February"),
    ];
    for (text, words) in cases {
        assert_eq!(Timespec::parse(text).unwrap().words(), words, "{text}");
    }
}

#[test]
fn a_job_says_the_zone_that_it_names() {
    let mut job = json!({"id": "a", "timespec": "@daily", "action": "COMMAND"});
    let words = |job: &Value| Definition::parse(job, &Zones::bundled()).unwrap().words();
    assert_eq!(words(&job), "every day at midnight");
    job["timezone"] = "Europe/Paris".into();
    assert_eq!(words(&job), "every day at midnight (Europe/Paris)");
}

/// Whoever reads the words knows the times: what is said alike is due alike.
#[test]
fn timespecs_with_the_same_words_are_due_at_the_same_times() {
    let pools: [&[&str]; 6] = [
        &[
            "*",
            "0",
            "5",
            "*/5",
            "0-59/5",
            "*/7",
            "1-59/2",
            "0,30",
            "5,20",
            "10-20",
            "0,15,30,45",
        ],
        &[
            "*",
            "0",
            "2",
            "*/2",
            "*/5",
            "0-22/2",
            "1-23/2",
            "8-9",
            "9-17",
            "2,5",
            "0,6,12,18",
            "0,12",
        ],
        &[
            "*", "*/2", "1-31/2", "1-31", "1", "1,15", "1-7", "13", "*/10", "30,31", "29-31",
        ],
        &["*", "2", "6,7", "3-10", "*/3", "1-12"],
        &[
            "*", "1-5", "0,6", "sun", "7", "mon", "*/2", "1,3", "1-4", "0-6", "5-7",
        ],
        &["0", "*", "*/20", "10", "5,6", "0-40/20", "0-30/10"],
    ];
    let utc = Zones::bundled().find("UTC").unwrap();
    // Days apart, so that each of the fields shows.
    let due = |text: &str| -> Vec<i64> {
        let spec = Timespec::parse(text).unwrap();
        let mut due = Vec::new();
        for step in 0..80 {
            due.extend(spec.after(1_798_761_600 + step * 400_000, &utc).take(20));
        }
        due
    };
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    let (mut state, mut met) = (1_usize, 0);
    for _ in 0..6000 {
        let fields = pools.map(|pool| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            pool[(state >> 33) % pool.len()]
        });
        let text = fields.join(" ");
        match said.entry(Timespec::parse(&text).unwrap().words()) {
            Entry::Vacant(entry) => {
                entry.insert(text);
            }
            Entry::Occupied(entry) if *entry.get() == text => {}
            Entry::Occupied(entry) => {
                let (other, words) = (entry.get(), entry.key());
                assert!(
                    due(&text) == due(other),
                    "{text} and {other} both read '{words}'"
                );
                met += 1;
            }
        }
    }
    println!(
        "{} ways of saying, {met} met again in another spelling",
        said.len()
    );
    assert!(met > 100, "{met}");
}

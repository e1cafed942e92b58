//! The jobs that administrators write, and what they are told about them.

use std::path::PathBuf;
use std::time::Duration;

use gorgone_protocol::{NodeId, Target};
use gorgone_runtime::config::{Checks, Config, ConfigError, Loaded, Sources};

fn load(text: &str, settings: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let sources = Sources {
        file: PathBuf::from("gorgoned.yml"),
        settings: settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..Sources::default()
    };
    Config::parse(text, &sources, Checks::default())
}

fn left_out(loaded: &Loaded) -> Vec<String> {
    loaded.left_out.iter().map(ToString::to_string).collect()
}

#[test]
fn jobs_of_the_older_daemon_are_read_as_they_are() {
    let text = r#"
modules:
  - name: cron
    package: gorgone::modules::core::cron::hooks
    enable: "true"
    cron:
      - { id: echo_date, timespec: "* * * * *", action: COMMAND, parameters: { command: "date >> /tmp/date.log", timeout: 10 }, keep_token: true }
      - { id: 12, timespec: 0 2 * * *, action: COMMAND, target: 3, parameters: [ { command: "x", timeout: "10", continue_on_error: false, metadata: { tag: 007 } } ], keep_token: "false" }
"#;
    let loaded = load(text, &[]).unwrap();
    assert!(left_out(&loaded).is_empty() && loaded.warnings.is_empty());
    let cron = &loaded.config.modules.cron;
    assert!(cron.enable);
    assert_eq!(cron.lease_time, Duration::from_secs(15));
    let [date, other] = cron.jobs.as_slice() else {
        panic!("{:?}", cron.jobs)
    };
    assert_eq!(
        date.data().as_str(),
        r#"{"command":"date >> /tmp/date.log","timeout":10}"#
    );
    assert!(date.keep_token && !other.keep_token);
    assert_eq!(other.id.as_str(), "12");
    assert_eq!(other.target, Target::Node(NodeId::new(3)));
    // What is quoted is a text, and what is no number of JSON stays one.
    assert_eq!(
        other.data().as_str(),
        r#"{"content":[{"command":"x","continue_on_error":false,"metadata":{"tag":"007"},"timeout":"10"}]}"#
    );
}

#[test]
fn a_wrong_job_names_its_line_and_stops_none_of_the_others() {
    let text = r#"modules:
  - name: cron
    enable: true
    cron:
      - id: first
        timespec: "0 25 * * *"
        action: COMMAND
      - { id: good, timespec: "@daily", action: COMMAND }
      - { id: third, timespc: "@daily", action: COMMAND }
      - just a text
      - id: good
        timespec: "@hourly"
        action: COMMAND
"#;
    let loaded = load(text, &[]).unwrap();
    let cron = &loaded.config.modules.cron;
    assert_eq!(cron.jobs.len(), 1);
    assert_eq!(cron.jobs[0].timespec.as_str(), "@daily");
    let told = left_out(&loaded);
    for (line, said) in told.iter().zip([
        "gorgoned.yml:6:19: modules.cron.cron[0].timespec: hour '25' is not within 0-23",
        "gorgoned.yml:9:9: modules.cron.cron[2].timespec: is missing",
        "gorgoned.yml:9:31: modules.cron.cron[2].timespc: unknown field; did you mean 'timespec'?",
        "gorgoned.yml:10:9: modules.cron.cron[3]: must be an object",
        "gorgoned.yml:11:13: modules.cron.cron[4].id: 'good' is already the job at gorgoned.yml:8:9",
    ]) {
        assert!(line.starts_with(said), "{line}\n{said}");
    }
    assert_eq!(told.len(), 5, "{told:#?}");
}

#[test]
fn who_mends_a_wrong_file_is_told_of_its_jobs_too() {
    let text = "gorgonecore: { timeot: 5 }\nmodules: [ { name: cron, cron: [ { id: a } ] } ]\n";
    let error = load(text, &[]).unwrap_err().to_string();
    assert!(error.contains("timeot"), "{error}");
    assert!(error.contains("cron[0].timespec: is missing"), "{error}");
}

#[test]
fn the_zone_of_jobs_is_the_modules_or_their_own() {
    let text = r#"
modules:
  - name: cron
    timezone: Europe/Paris
    cron:
      - { id: a, timespec: "@daily", action: COMMAND }
      - { id: b, timespec: "@daily", action: COMMAND, timezone: America/New_York }
"#;
    let loaded = load(text, &[]).unwrap();
    let jobs = &loaded.config.modules.cron.jobs;
    assert_eq!(jobs[0].zone().name(), "Europe/Paris");
    assert_eq!(jobs[0].timezone, None);
    assert_eq!(jobs[1].zone().name(), "America/New_York");
    let error = load(text, &[("modules.cron.timezone", "Europe/Pari")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "flag --set modules.cron.timezone: modules.cron.timezone: \
         'Europe/Pari' is no time zone; did you mean 'Europe/Paris'?"
    );
}

#[test]
fn jobs_can_be_given_in_a_flag() {
    let jobs =
        "[{id: a, timespec: '* * * * *', action: COMMAND, parameters: {timeout: 5}}, {id: b}]";
    let loaded = load("", &[("modules.cron.cron", jobs)]).unwrap();
    assert_eq!(
        loaded.config.modules.cron.jobs[0].data().as_str(),
        r#"{"timeout":5}"#
    );
    assert!(left_out(&loaded)[0].starts_with("flag --set modules.cron.cron: modules.cron.cron[1]"));
}

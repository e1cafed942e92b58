//! What administrators write, and what they are told about it.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]
use std::path::PathBuf;
use std::time::Duration;

use gorgone_protocol::{Action, Endpoint, NodeId, Rights, Target};
use gorgone_runtime::config::{
    ArgType, Checks, Config, ConfigError, DatabaseConfig, Loaded, Sources,
};

fn sources() -> Sources {
    Sources {
        file: PathBuf::from("gorgoned.yml"),
        ..Sources::default()
    }
}

fn load_over(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Loaded, ConfigError> {
    let owned = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let sources = Sources {
        environment: owned(environment),
        settings: owned(flags),
        ..sources()
    };
    Config::parse(text, &sources, Checks::default())
}

fn load(text: &str) -> Result<Loaded, ConfigError> {
    load_over(text, &[], &[])
}

fn config(text: &str) -> Config {
    load(text).unwrap().config
}

fn problems(text: &str) -> Vec<String> {
    let error = load(text).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

const OLD: &str = r#"
name: gorgoned-central
description: free text
database:
  db_centreon: { dsn: "mysql:host=localhost;dbname=centreon", username: me, password: secret }
gorgonecore:
  internal_com_type: tcp
  internal_com_path: "127.0.0.1:5550"
  external_com_type: tcp
  external_com_path: "*:5555"
  timeout: 50
  gorgone_db_type: SQLite
  gorgone_db_name: dbname=/tmp/gorgone.sdb
  gorgone_db_host:
  gorgone_db_password:
  hostname:
  id: 1
  privkey: keys/central/privkey.pem
  cipher: "Cipher::AES"
  keysize: 32
  vector: 0123456789012345
  authorized_clients:
    - key: pnI6EWkiTbazjikJXRkLmjml5wvVECYtQduJUjS4QK4
  proxy_name: proxy
modules:
  - name: httpserver
    package: gorgone::modules::core::httpserver::hooks
    enable: "true"
    port: 8443
    auth: { enabled: true, user: admin, password: secret }
  - name: action
    enable: "yes"
    command_timeout: "45"
    whitelist_cmds: true
    allowed_cmds: [ "ls /.*" ]
  - name: legacycmd
    enable: true
  - name: cron
    enable: false
    cron:
      - { id: echo_date, timespec: "* * * * *", action: COMMAND, parameters: { command: date, timeout: 10 }, keep_token: true }
  - name: engine
    enable: true
    command_file: /var/lib/engine.cmd
  - name: dbcleaner
    enable: true
    purge_sessions_time: 3600
"#;

#[test]
fn configuration_of_the_older_daemon_is_read_as_it_is() {
    let loaded = load(OLD).unwrap();
    let core = &loaded.config.core;
    assert_eq!(core.id, NodeId::new(1));
    assert_eq!(
        core.external,
        Some(Endpoint::parse("tcp://*:5555").unwrap())
    );
    assert_eq!(
        core.database,
        DatabaseConfig::Sqlite {
            path: "/tmp/gorgone.sdb".into()
        }
    );
    let modules = &loaded.config.modules;
    assert!(modules.action.enable);
    assert_eq!(modules.action.command_timeout, Duration::from_secs(45));
    assert_eq!(
        modules.action.engine_pipe,
        PathBuf::from("/var/lib/engine.cmd")
    );
    assert_eq!(
        modules.dbcleaner.purge_sessions_time,
        Duration::from_secs(3600)
    );
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0]
            .contains("module 'legacycmd' is enabled, but this release has no gorgone-legacycmd")
    );
    assert!(warnings[0].starts_with("gorgoned.yml:37:"), "{warnings:?}");
    let http = &modules.httpserver;
    assert!(http.enable);
    assert_eq!(http.listen, "127.0.0.1:8443".parse().unwrap());
    assert_eq!(http.users.as_ref().unwrap()[0].name, "admin");
}

#[test]
fn wrapper_of_later_releases_is_taken_off() {
    let text = "configuration:\n  gorgone:\n    gorgonecore:\n      id: 7\n  centreon:\n    database: {}\n";
    assert_eq!(config(text).core.id, NodeId::new(7));
}

#[test]
fn empty_configuration_gets_every_default() {
    let config = config("");
    assert_eq!(config.core.external, None);
    assert_eq!(&config.core.vector, b"0123456789012345");
    assert!(!config.modules.action.enable);
}

#[test]
fn vector_without_quotes_keeps_its_leading_zero() {
    let read = |text: &str| {
        config(&format!("gorgonecore:\n  vector: {text}\n"))
            .core
            .vector
    };
    assert_eq!(&read("0123456789012345"), b"0123456789012345");
    assert_eq!(&read("0000000000000012"), b"0000000000000012");
    assert_eq!(&read("1234567890123456 # a remark"), b"1234567890123456");
    assert_eq!(&read("'0123456789abcdef'"), b"0123456789abcdef");
}

#[test]
fn environment_wins_over_the_file_and_flags_over_both() {
    let text = "gorgonecore: { timeout: 1, id: 1, hostname: a }\n";
    let config = load_over(
        text,
        &[
            ("GORGONE_GORGONECORE__TIMEOUT", "2"),
            ("GORGONE_GORGONECORE__ID", "2"),
            ("GORGONE_GORGONECORE__HOSTNAME", "0042"),
            ("GORGONE_GORGONECORE__VECTOR", "0123456789012345"),
            ("GORGONE_CORE_PORT_5555_TCP", "tcp://10.0.0.1:5555"),
        ],
        &[("gorgonecore.timeout", "3")],
    )
    .unwrap()
    .config;
    assert_eq!(config.core.timeout, Duration::from_secs(3));
    assert_eq!(config.core.id, NodeId::new(2));
    assert_eq!(config.core.hostname.as_deref(), Some("0042"));
    assert_eq!(&config.core.vector, b"0123456789012345");
}

#[test]
fn environment_reaches_a_module_by_its_name() {
    let text = "modules:\n  - name: action\n    enable: true\n    kill_delay: 9\n";
    let action = load_over(
        text,
        &[
            ("GORGONE_MODULES__ACTION__COMMAND_TIMEOUT", "5"),
            (
                "GORGONE_MODULES__ACTION__ALLOWED_CMDS",
                r#"["ls", "df -h"]"#,
            ),
            ("GORGONE_MODULES__DBCLEANER__PURGE_HISTORY_TIME", "3600"),
        ],
        &[],
    )
    .unwrap()
    .config
    .modules
    .action;
    assert_eq!(action.command_timeout, Duration::from_secs(5));
    assert_eq!(action.kill_delay, Duration::from_secs(9));
    let patterns: Vec<_> = action
        .allowed_cmds
        .iter()
        .map(|rule| &rule.pattern)
        .collect();
    assert_eq!(patterns, ["ls", "df -h"]);
}

#[test]
fn mistake_in_the_environment_is_named_by_its_variable() {
    let variables = [
        ("GORGONE_GORGONECORE__TIMEOUT", "soon"),
        ("GORGONE_GORGONCORE__ID", "1"),
        ("GORGONE_GORGONECORE_ID", "1"),
    ];
    let error = load_over("", &variables, &[]).unwrap_err().to_string();
    assert!(error.contains("environment GORGONE_GORGONECORE__TIMEOUT: gorgonecore.timeout: 'soon' is not a whole number"), "{error}");
    assert!(
        error.contains(
            "GORGONE_GORGONCORE__ID: gorgoncore: unknown key; did you mean 'gorgonecore'?"
        ),
        "{error}"
    );
    assert!(
        error.contains("environment GORGONE_GORGONECORE_ID: names no key"),
        "{error}"
    );
}

#[test]
fn every_mistake_is_told_at_once_with_line_key_and_mend() {
    let text = r#"gorgonecore:
  timeot: 50
  id: minus one
  external_com_type: tcp
  external_com_path: "*"
  vector: 123
  keysize: 33
  authorized_clients:
    - key: short
    - ky: pnI6EWkiTbazjikJXRkLmjml5wvVECYtQduJUjS4QK4
  max_peers: 0
  limits: [1]
modules:
  - name: action
    enable: maybe
    allowed_cmds: ["("]
    command_timeout: [30]
  - name: action
  - enable: true
  - name: akction
"#;
    let found = problems(text);
    let expected = [
        ":2:11: gorgonecore.timeot: unknown key; did you mean 'timeout'?",
        ":3:7: gorgonecore.id: node id is not a whole number",
        ":5:22: gorgonecore.external_com_path: '*' has no port",
        ":6:11: gorgonecore.vector: is 3 bytes long, and must be 16",
        ":7:12: gorgonecore.keysize: '33' is not a key length",
        ":9:12: gorgonecore.authorized_clients[0].key: 'short': thumbprint is not 43",
        "gorgonecore.authorized_clients[1].ky: unknown key; did you mean 'key'?",
        "gorgonecore.authorized_clients[1].key: is missing",
        ":11:14: gorgonecore.max_peers: '0' is not a whole number from 1",
        "gorgonecore.limits: unknown key; remove it",
        ":15:13: modules.action.enable: 'maybe' is neither true nor false",
        "modules.action.allowed_cmds[0]: is not a regular expression",
        "modules.action.command_timeout: must be a single value, not a list",
        "modules.action: this module stands here twice (first at gorgoned.yml:14:",
        "modules[2]: a module needs a name",
        "modules.akction: there is no module of this name; did you mean 'action'?",
    ];
    for mistake in expected {
        assert!(
            found.iter().any(|line| line.contains(mistake)),
            "no {mistake:?} in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn text_that_is_not_yaml_is_refused_with_its_line() {
    let found = problems("gorgonecore:\n  external_com_path: *:5555\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("gorgoned.yml:2:"), "{found:?}");
    assert!(found[0].contains("must be quoted"), "{found:?}");
    assert!(problems("gorgonecore: {}\ngorgonecore: {}\n")[0].starts_with("gorgoned.yml:2:"));
    assert!(problems("- a\n- b\n")[0].contains("is a mapping"));
}

#[test]
fn external_endpoint_without_a_key_is_refused() {
    let found =
        problems("gorgonecore: { external_com_type: tcp, external_com_path: \"*:5555\" }\n");
    assert!(
        found[0].contains("gorgonecore.privkey: the external endpoint needs a private key"),
        "{found:?}"
    );
}

#[test]
fn empty_type_switches_the_external_endpoint_off() {
    let core = config("gorgonecore: { external_com_type: , external_com_path: \"*:5555\" }\n").core;
    assert_eq!(core.external, None);
}

#[test]
fn key_file_that_others_can_read_is_refused_by_who_needs_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(format!("gorgone-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = folder.join("key.pem");
    std::fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let text = format!("gorgonecore: {{ privkey: {} }}\n", key.display());
    let check = |mode, keys| {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        Config::parse(
            &text,
            &sources(),
            Checks {
                keys,
                ..Checks::default()
            },
        )
    };
    let error = check(0o644, true).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    // Closed to others it is looked into: this one holds no key.
    let error = check(0o600, true).unwrap_err().to_string();
    assert!(!error.contains("chmod"), "{error}");
    assert!(error.contains("is not a private RSA key"), "{error}");
    assert!(check(0o644, false).is_ok());
    std::fs::remove_dir_all(&folder).unwrap();
    let missing = Config::parse(
        &text,
        &sources(),
        Checks {
            keys: true,
            ..Checks::default()
        },
    )
    .unwrap_err()
    .to_string();
    assert!(missing.contains("gorgonectl keys generate"), "{missing}");
}

#[test]
fn password_comes_from_a_file_and_is_never_shown() {
    let file = std::env::temp_dir().join(format!("gorgone-password-{}", std::process::id()));
    std::fs::write(&file, "hunter2\n").unwrap();
    let text = format!(
        "gorgonecore: {{ gorgone_db_password_file: {} }}\n",
        file.display()
    );
    let loaded = Config::parse(
        &text,
        &sources(),
        Checks {
            keys: true,
            ..Checks::default()
        },
    )
    .unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
    let both = "gorgonecore: { gorgone_db_password: a, gorgone_db_password_file: b }\n";
    assert!(problems(both)[0].contains("keep one of them"));
}

#[test]
fn command_templates_are_read_with_their_types() {
    let text = r#"
modules:
  - name: action
    commands:
      restart:
        argv: ["/usr/bin/systemctl", "restart", "{service}", "--job={n}", "{free}"]
        args:
          service: { type: choice, values: [centengine, cbd] }
          n: { type: integer, min: 1, max: 9 }
          free: { type: string, pattern: "[a-z]+" }
        timeout: 60
"#;
    let action = config(text).modules.action;
    let template = &action.commands["restart"];
    assert_eq!(template.timeout, Some(Duration::from_secs(60)));
    assert_eq!(template.args["n"], ArgType::Integer { min: 1, max: 9 });
    assert_eq!(
        template.args["free"],
        ArgType::Text {
            pattern: "[a-z]+".into()
        }
    );
}

#[test]
fn allowed_command_is_an_expression_or_says_more() {
    let text = "modules: [{ name: action, allowed_cmds: [ls, { pattern: \"df .*\", shell: true, users: [nagios] }] }]";
    let allowed = config(text).modules.action.allowed_cmds;
    assert!(!allowed[0].shell);
    assert!(allowed[1].shell);
    assert_eq!(allowed[1].users, ["nagios"]);
    let wrong = "modules: [{ name: action, allowed_cmds: [{ patern: ls }] }]";
    assert!(
        problems(wrong)
            .join("\n")
            .contains("did you mean 'pattern'?")
    );
}

#[test]
fn command_template_that_could_not_work_is_refused() {
    let text = r#"
modules:
  - name: action
    commands:
      a: { argv: [ls, "{x}"], args: { y: { type: choice, values: [1] } } }
      b: { argv: ["/bin/ls"], args: { z: { type: number } } }
"#;
    let found = problems(text).join("\n");
    for mistake in [
        "full path",
        "'{x}' is not among args",
        "'y' does not occur",
        "must be string, integer or choice",
    ] {
        assert!(found.contains(mistake), "no {mistake:?} in {found}");
    }
}

#[test]
fn client_may_do_what_its_rights_name() {
    let text = r#"
gorgonecore:
  authorized_clients:
    - key: pnI6EWkiTbazjikJXRkLmjml5wvVECYtQduJUjS4QK4
    - key: AAI6EWkiTbazjikJXRkLmjml5wvVECYtQduJUjS4QK4
      name: the wall display
      rights:
        - { actions: [GETLOG, CONSTATUS], nodes: [self, 2-5] }
    - key: BBI6EWkiTbazjikJXRkLmjml5wvVECYtQduJUjS4QK4
      rights: []
"#;
    let clients = config(text).core.authorized_clients;
    assert_eq!(clients[0].rights, Rights::everything());
    assert_eq!(clients[1].name.as_deref(), Some("the wall display"));
    let may = |client: usize, action: &str, target: &str| {
        let (action, target) = (Action::parse(action), Target::parse(target));
        clients[client]
            .rights
            .allows(&action, &target, NodeId::new(1))
    };
    assert!(may(1, "GETLOG", "") && may(1, "CONSTATUS", "5"));
    assert!(!may(1, "COMMAND", "") && !may(1, "GETLOG", "6"));
    assert!(!may(2, "PING", ""));
}

#[test]
fn rights_that_could_be_misread_are_refused() {
    let text = r#"gorgonecore:
  authorized_clients:
    - key: pnI6EWkiTbazjikJXRkLmjml5wvVECYtQduJUjS4QK4
      rights:
    - key: pnI6EWkiTbazjikJXRkLmjml5wvVECYtQduJUjS4QK4
      rights: [COMMAND]
    - key: AAI6EWkiTbazjikJXRkLmjml5wvVECYtQduJUjS4QK4
      rights:
        - { actions: [command, "GET*"], nodes: [] }
        - { nodes: 4, action: [PING] }
        - { actions: [PING], nodes: [5-2, all] }
"#;
    let found = problems(text);
    let expected = [
        ":4:13: gorgonecore.authorized_clients[0].rights: is empty; write [] for no rights",
        "authorized_clients[1].key: this key stands here twice; keep one",
        "authorized_clients[1].rights[0]: must be a mapping of keys",
        ":9:23: gorgonecore.authorized_clients[2].rights[0].actions[0]: 'command' is not an action; write it in capitals: COMMAND",
        "rights[0].actions[1]: 'GET*' is not an action",
        "rights[0].nodes: names none; write [self]",
        "rights[1].nodes: must be a list",
        "rights[1].actions: names none; write [COMMAND, GETLOG]",
        "rights[1].action: unknown key; did you mean 'actions'?",
        "rights[2].nodes[0]: '5-2' is an empty range",
        "rights[2].nodes[1]: 'all' names no node",
    ];
    for mistake in expected {
        assert!(
            found.iter().any(|line| line.contains(mistake)),
            "no {mistake:?} in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn audit_is_on_and_can_be_told_what_is_secret() {
    let audit = config("").core.audit;
    assert!(audit.enable);
    assert_eq!(audit.keep, Duration::from_secs(90 * 86_400));
    let text = "gorgonecore: { audit: { keep: 3600, max_rows: 5, redact: [\"pin (\\\\d+)\"] } }\n";
    let audit = config(text).core.audit;
    assert_eq!(audit.keep, Duration::from_secs(3600));
    assert_eq!(
        (audit.max_rows, audit.redact),
        (5, vec!["pin (\\d+)".to_owned()])
    );
    let wrong = "gorgonecore: { audit: { enabled: true, redact: [ok, \"(\"] } }\n";
    let found = problems(wrong).join("\n");
    assert!(
        found.contains("gorgonecore.audit.redact[1]: is not a regular expression"),
        "{found}"
    );
    assert!(
        found.contains("audit.enabled: unknown key; did you mean 'enable'?"),
        "{found}"
    );
}

const PUBLIC_KEY: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwyO8vyXCUtcnP+B4eh4i\n\
Q69YVxxhy0J7B1SuLlGkRFQAV4MvwbVc+gZlDhaNwq2nnXPPivFGJWBDholuAWVT\n\
Qp/Po9f1ZkofpU+7jxYeP1F36x7u4/qjnyVAXPgn6AIIOeWj/qWIyjNpKCzv+bAe\n\
8/wBFlq5xJOiBL8gm81hx3cuqcv+qwXsoVBn3pnRzrFtqzautgmPCExHxZhkLrrU\n\
e19yLwnGjEh6odUQ+7y5maKgnOhOwd/DguQRNZtbyNqAY95HAgvmSAoYflcpH3yZ\n\
P2eCqFNsLMZIHW+/XofcFAoecG9rA9siVKDX3PKg0qcrl7prlB0Ycm9XuME+NJdU\n\
HwIDAQAB\n\
-----END PUBLIC KEY-----\n\
";

#[test]
fn client_is_known_by_the_file_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pubkey.pem");
    std::fs::write(&file, PUBLIC_KEY).unwrap();
    let text = |file: &str| {
        format!("gorgonecore: {{ authorized_clients: [{{ name: admin, key_file: {file} }}] }}\n")
    };
    let load = |file: &str, keys: bool| {
        let checks = Checks { keys, http: false };
        Config::parse(&text(file), &sources(), checks)
    };
    let known = load(file.to_str().unwrap(), true).unwrap().config;
    let client = &known.core.authorized_clients[0];
    assert_eq!(
        client.key.as_str(),
        "oyUOQMMHiU7gsTF0H_N0AjUE6wjabtZYWuVw6mz-C1Q"
    );
    // Only services that have to do with keys look for the file.
    let unread = load("/nowhere.pem", false).unwrap().config;
    assert!(unread.core.authorized_clients.is_empty());
    let missing = load("/nowhere.pem", true).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("key_file: cannot read /nowhere.pem"),
        "{missing}"
    );
}

#[test]
fn instance_can_be_named_after_the_host() {
    let of_host = config("modules: [{ name: action, instance: \"action@{hostname}\" }]\n");
    let name = of_host.modules.action.instance;
    let host = name.strip_prefix("action@").unwrap();
    assert!(!host.is_empty() && !host.contains('{'), "{name}");
}

#[test]
fn key_of_a_poller_is_one_node_and_may_ask_for_nothing_unless_it_is_told() {
    let key = |letter: &str| letter.repeat(43);
    let text = format!(
        "gorgonecore:\n  id: 1\n  authorized_clients:\n    - {{ key: {}, node: 7 }}\n    - {{ key: {} }}\n",
        key("A"),
        key("E"),
    );
    let clients = config(&text).core.authorized_clients;
    assert_eq!(clients[0].node, Some(NodeId::new(7)));
    let asks = |rights: &Rights| rights.allows(&Action::Ping, &Target::Here, NodeId::new(1));
    assert!(!asks(&clients[0].rights));
    assert!(asks(&clients[1].rights));
    let text = format!(
        "gorgonecore:\n  id: 1\n  authorized_clients:\n    - {{ key: {}, node: 7 }}\n    - {{ key: {}, node: 7 }}\n    \
         - {{ key: {}, node: 1 }}\n",
        key("A"),
        key("E"),
        key("I"),
    );
    let problems = problems(&text);
    assert!(
        problems[0].contains("another key is this node already"),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("the id of this node itself"),
        "{problems:?}"
    );
}

#[test]
fn pull_is_told_where_its_central_is() {
    let pull = |lines: &str| format!("modules:\n  - name: pull\n    enable: true\n{lines}");
    let told = config(&pull("    target: tcp://central:5556\n"));
    let target = Endpoint::parse("tcp://central:5556").unwrap();
    assert_eq!(told.modules.pull.target, Some(target));
    for (lines, words) in [
        ("", "is missing; write target: tcp://CENTRAL:5556"),
        ("    target: ipc:///tmp/x\n", "tcp://host:port"),
        ("    target: central\n", "tcp://host:port"),
    ] {
        let problems = problems(&pull(lines));
        assert!(problems[0].contains(words), "{problems:?}");
    }
}

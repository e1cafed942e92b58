//! The same verbs through the HTTP door, and what can go wrong there.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use gorgone_integration_tests::{Node, NodeOptions};
use nix::sys::signal::Signal;

use crate::support::{Said, say};

/// A node with an HTTP door.
struct Web {
    node: Node,
    url: String,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Web {
    /// `more`: lines of the module, indented by four.
    async fn start(scheme: &str, more: &str) -> Self {
        let port = free_port();
        let modules = format!(
            "  - name: httpserver\n    enable: true\n    port: {port}\n    metrics_port: 0\n    auth: {{ enabled: true }}\n    \
             users:\n      - {{ name: admin, password: 'gehe!m' }}\n      \
             - {{ name: robot, token: 0123456789abcdef0123 }}\n{more}"
        );
        let node = Node::start_with(NodeOptions {
            modules,
            ..NodeOptions::default()
        })
        .await;
        let web = Self {
            node,
            url: format!("{scheme}://127.0.0.1:{port}"),
        };
        gorgone_integration_tests::eventually("the HTTP door is open", async || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        web
    }

    /// gorgonectl, told how to reach this door and nothing else.
    fn ctl(&self, args: &[&str]) -> Command {
        let mut command = crate::support::bare(args);
        command
            .env("GORGONECTL_SERVER", &self.url)
            .env("GORGONECTL_LOGIN", "admin")
            .env("GORGONECTL_PASSWORD", "gehe!m")
            .stdin(Stdio::null());
        command
    }

    async fn say(&self, args: &[&str]) -> Said {
        say(self.ctl(args)).await
    }
}

#[tokio::test]
async fn every_verb_works_through_the_http_door() {
    let web = Web::start("http", "").await;
    let said = web
        .say(&["command", "echo out; echo err >&2; exit 7"])
        .await;
    let all = (said.out.as_str(), said.err.as_str(), said.code);
    assert_eq!(all, ("out\n", "err\n", 7));
    let line = "for i in 1 2 3; do echo line $i; sleep 0.3; done";
    assert_eq!(
        web.say(&["command", line]).await.out,
        "line 1\nline 2\nline 3\n"
    );
    let said = web.say(&["command", "--timeout", "1", "sleep 600"]).await;
    assert_eq!(said.code, 124, "{}", said.err);

    let token = web
        .say(&["command", "--detach", "sleep 1; echo later"])
        .await
        .out;
    let followed = web.say(&["log", "-f", token.trim()]).await;
    assert_eq!(followed.code, 0, "{}", followed.err);
    assert!(followed.out.contains("later"), "{}", followed.out);
    let rows = web.say(&["--json", "log", token.trim()]).await.json();
    assert_eq!(rows.last().unwrap()["data"]["stdout"], "later\n");
    let newest = web.say(&["--json", "log", "-n", "2"]).await.json();
    assert_eq!(newest[1], *rows.last().unwrap());
    web.say(&["--patience", "1", "log", "-f", "nobody knows/it"])
        .await
        .one_line_error("nothing is known of a request with token 'nobody knows/it'");

    let token = web.say(&["command", "--detach", "sleep 600"]).await.out;
    let said = web.say(&["cancel", token.trim()]).await;
    assert_eq!(said.code, 0, "{} {}", said.out, said.err);
    let said = web.say(&["cancel", token.trim()]).await;
    assert_eq!((said.out.as_str(), said.code), ("it was already over\n", 1));

    let said = web.say(&["status"]).await;
    assert!(
        said.out.starts_with("node 1 (") && said.out.contains("COMMAND"),
        "{}",
        said.out
    );
    let body = r#"{"nodes":[{"id":20,"type":"pull"}]}"#;
    assert_eq!(web.say(&["request", "REGISTERNODES", body]).await.code, 0);
    let nodes = web.say(&["--json", "nodes"]).await.json();
    assert_eq!(nodes[0]["id"], 20);
    let said = web.say(&["request", "NOBODY"]).await;
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("action 'NOBODY' is not known"),
        "{}",
        said.out
    );
    let body = r#"{"command":"echo waited"}"#;
    let said = web
        .say(&["request", "COMMAND", body, "--token", "mine", "--wait"])
        .await;
    assert!(
        said.out.contains("mine") && said.out.contains("waited"),
        "{}",
        said.out
    );
    let said = web.say(&["request", "GETTHUMBPRINT"]).await;
    assert!(said.out.contains("thumbprint"), "{}", said.out);
}

#[tokio::test]
async fn credentials_come_from_everywhere_but_the_command_line() {
    let web = Web::start("http", "").await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let status = async |more: &[&str], variables: &[(&str, &str)]| {
        let words: Vec<_> = ["status", "--server", &web.url]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let mut command = crate::support::bare(&words);
        command.envs(variables.iter().copied());
        say(command).await
    };
    let password = file("password", "gehe!m\n");
    let bearer = file("bearer", "0123456789abcdef0123\n");
    let wrong = file("wrong", "wrong");
    let good = ["--login", "admin", "--password-file", &password];
    assert_eq!(status(&good, &[]).await.code, 0);
    assert_eq!(status(&["--bearer-file", &bearer], &[]).await.code, 0);
    let variable = [("GORGONECTL_BEARER", "0123456789abcdef0123")];
    assert_eq!(status(&[], &variable).await.code, 0);
    // A flag is stronger than a variable, whatever kind it is.
    assert_eq!(
        status(&good, &[("GORGONECTL_BEARER", "wrong")]).await.code,
        0
    );

    status(&[], &[])
        .await
        .one_line_error("wants to know who asks; give --login");
    status(&["--login", "admin", "--password-file", &wrong], &[])
        .await
        .one_line_error("does not know this user or its password");
    status(&["--bearer-file", &wrong], &[])
        .await
        .one_line_error("does not know this bearer token");
}

#[tokio::test]
async fn tls_is_trusted_by_its_authority_only() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = folder.path().join("cert.pem");
    let key = folder.path().join("key.pem");
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let more = format!(
        "    ssl: true\n    ssl_cert_file: {}\n    ssl_key_file: {}\n",
        certificate.display(),
        key.display()
    );
    let web = Web::start("https", &more).await;
    let trusted = certificate.display().to_string();
    let said = web
        .say(&["--ca-file", &trusted, "command", "echo safe"])
        .await;
    assert_eq!(
        (said.out.as_str(), said.code),
        ("safe\n", 0),
        "{}",
        said.err
    );
    web.say(&["status"]).await.one_line_error("is not trusted");
    let other = web.url.replace("127.0.0.1", "localhost");
    web.say(&["--server", &other, "--ca-file", &trusted, "status"])
        .await
        .one_line_error("is not trusted");
    let key = key.display().to_string();
    web.say(&["--ca-file", &key, "status"])
        .await
        .one_line_error("holds no certificate");
    let plain = web.url.replace("https:", "http:");
    let said = web.say(&["--server", &plain, "status"]).await;
    said.one_line_error(&plain);
    let web = Web::start("http", "").await;
    let tls = web.url.replace("http:", "https:");
    web.say(&["--server", &tls, "status"])
        .await
        .one_line_error("is it http:// that is meant?");
}

/// A server that answers everybody with this.
fn answering(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let _ = (&stream).write_all(text.as_bytes());
        }
    });
    url
}

#[tokio::test]
async fn what_is_no_gorgone_is_told_from_what_is_not_there() {
    let at = async |url: &str| {
        say(crate::support::bare(&[
            "--server",
            url,
            "--patience",
            "1",
            "status",
        ]))
        .await
    };
    at(&format!("http://127.0.0.1:{}", free_port()))
        .await
        .one_line_error("is gorgone-httpserver running there?");
    at(&answering("SSH-2.0-OpenSSH\r\n"))
        .await
        .one_line_error("is no gorgone: it does not speak HTTP");
    at(&answering(
        "HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello",
    ))
    .await
    .one_line_error("status 404 Not Found");
    at(&answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ))
    .await
    .one_line_error("is no gorgone");
    at(&answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
    ))
    .await
    .one_line_error("http://127.0.0.1:");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    at(&format!("http://{}", silent.local_addr().unwrap()))
        .await
        .one_line_error("within 1 s");
    at("http://")
        .await
        .one_line_error("write https://HOST:PORT");
}

#[tokio::test]
async fn output_goes_on_where_the_http_server_is_killed_in_between() {
    let web = Web::start("http", "").await;
    let line = "echo one; sleep 2; echo two; sleep 2; echo three";
    let mut command = web.ctl(&["command", line]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    assert_eq!(first, "one\n");
    assert!(web.node.signal("gorgone-httpserver", Signal::SIGKILL));
    let rest = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
        (rest, child.wait_with_output().unwrap())
    });
    let (rest, output) = rest.await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (rest.as_str(), output.status.code()),
        ("two\nthree\n", Some(0)),
        "{errors}"
    );
}

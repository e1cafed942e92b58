//! The section `gorgonecore`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gorgone_crypto::{PrivateKey, PublicKey};
use gorgone_protocol::{Endpoint, NodeId};

use super::Checks;
use super::audit::{self, AuditConfig};
use super::clients::{self, AuthorizedClient};
use super::monitor;
use super::secret::Secret;
use super::section::Section;

/// What gorgone-core is told: its two endpoints, its key, its database and its limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreConfig {
    /// This node's id, unique in the fleet.
    pub id: NodeId,
    /// What this node calls itself; the system's host name where it is not set.
    pub hostname: Option<String>,
    /// Where modules connect.
    pub internal: Endpoint,
    /// Where clients and other nodes connect, if anybody may.
    pub external: Option<Endpoint>,
    /// How long stopping may take before what still runs is ended.
    pub timeout: Duration,
    /// Where history, sessions and tasks are kept.
    pub database: DatabaseConfig,
    /// The PEM file of the private key. There if `external` is.
    pub privkey: Option<PathBuf>,
    /// The PEM file of the public key; derived from the private one where it is not set.
    pub pubkey: Option<PathBuf>,
    /// Length of session keys in bytes: 16, 24 or 32.
    pub keysize: usize,
    /// The vector of the seed's dialect.
    pub vector: [u8; 16],
    /// Whose keys may open a session, and what each may ask for.
    pub authorized_clients: Vec<AuthorizedClient>,
    /// What is kept of who asked for what.
    pub audit: AuditConfig,
    /// The module that carries requests to other nodes.
    pub proxy_name: String,
    /// After that a session of the later dialect gets a new key.
    pub rotation: Duration,
    /// Where core tells how it is: `/healthz`, `/readyz`, `/metrics`.
    pub metrics: Option<SocketAddr>,
    /// What is refused beyond.
    pub limits: Limits,
}

/// Where history, sessions and tasks are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatabaseConfig {
    /// In a file.
    Sqlite {
        /// Which one; made at the first start.
        path: PathBuf,
    },
    /// On a database server.
    Server {
        /// Which kind.
        kind: ServerKind,
        /// The database on it.
        name: String,
        /// Its host.
        host: String,
        /// Its port; the kind's own where it is not set.
        port: Option<u16>,
        /// Who we are there.
        user: Option<String>,
        /// Our password there.
        password: Option<Secret>,
    },
}

/// A kind of database server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerKind {
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// What core refuses beyond: nothing in it grows without bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Largest message in bytes, on both endpoints.
    pub max_frame_size: usize,
    /// Connections to the external endpoint at one time.
    pub max_peers: usize,
    /// Sessions kept at one time.
    pub max_sessions: usize,
    /// Requests that were accepted and have not ended.
    pub max_tasks: usize,
    /// Bytes of DATA of all requests that were accepted and have not ended.
    pub max_task_bytes: usize,
    /// GETLOGs that may wait for rows at one time.
    pub max_waiters: usize,
    /// Module instances that may be READY.
    pub max_modules: usize,
    /// How long a module that vanished may take to come back before its work counts as lost.
    pub module_grace: Duration,
    /// Nodes that may be registered.
    pub max_nodes: usize,
    /// Nodes that one request may go to.
    pub max_targets: usize,
    /// Requests that may wait for one node.
    pub max_node_tasks: usize,
    /// Messages that wait for one peer that does not read.
    pub peer_queue: usize,
    /// Handshakes begun per second, over all peers.
    pub handshake_rate: u32,
    /// Handshakes that may wait for their turn.
    pub handshake_queue: usize,
    /// How long a request may wait before it begins, where it does not say so itself.
    pub default_ttl: Duration,
    /// Rows of one answer to GETLOG at most.
    pub getlog_limit: u64,
}

const DAY: u64 = 86_400;
const YEAR: u64 = 366 * DAY;
const MIB: usize = 1024 * 1024;

pub(super) fn read(section: Section<'_>, checks: Checks) -> CoreConfig {
    let external = endpoint(&section, "external", None);
    let privkey = section.file("privkey");
    let pubkey = section.file("pubkey");
    if external.is_some() && privkey.is_none() {
        section.problem(
            "privkey",
            "the external endpoint needs a private key; make one with 'gorgonectl keys generate' \
             and name its file here",
        );
    }
    if checks.keys {
        if let Some(path) = &privkey {
            check_private_key(&section, "privkey", path);
        }
        if let Some(path) = &pubkey {
            check_public_key(&section, "pubkey", path);
        }
    }
    let internal = endpoint(&section, "internal", Some(("tcp", "127.0.0.1:5550")));
    if external.is_some() && external == internal {
        section.problem(
            "external_com_path",
            "is the internal endpoint too; choose another port",
        );
    }
    let id = section.parsed("id", NodeId::parse);
    let id = id.unwrap_or_else(|| NodeId::new(1));
    let config = CoreConfig {
        id,
        hostname: section.text("hostname"),
        internal: internal.unwrap_or(Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 5550,
        }),
        external,
        timeout: section.seconds("timeout", 50, 1..=3600),
        database: database(&section, checks),
        privkey,
        pubkey,
        keysize: section.parsed("keysize", keysize).unwrap_or(32),
        vector: section
            .parsed("vector", vector)
            .unwrap_or(*b"0123456789012345"),
        authorized_clients: clients::read(&section, id, checks.keys),
        audit: audit::read(&section),
        proxy_name: section
            .text("proxy_name")
            .unwrap_or_else(|| "proxy".to_owned()),
        rotation: Duration::from_secs(
            60 * section.number("external_com_rotation", 1440, 1..=527_040),
        ),
        metrics: monitor::read(&section, 0),
        limits: limits(&section),
    };
    cipher(&section);
    if section.flag("internal_com_crypt", false) {
        section.warn(
            "internal_com_crypt",
            "the internal endpoint is not encrypted; keep it on 127.0.0.1, on ipc, or on a private network",
        );
    }
    section.ignore(&[
        "internal_com_cipher",
        "internal_com_keysize",
        "internal_com_padding",
        "internal_com_rotation",
        "internal_com_identity_ttl",
        "external_com_cipher",
        "external_com_keysize",
        "external_com_padding",
        "external_com_zmq_tcp_keepalive",
        "zmq_tcp_keepalive",
        "ipv6",
        "gorgone_db_autocreate_schema",
    ]);
    section.finish();
    config
}

fn limits(section: &Section<'_>) -> Limits {
    Limits {
        max_frame_size: section.count("max_frame_size", 16 * MIB, 65_536..=1_073_741_824),
        max_peers: section.count("max_peers", 10_000, 1..=1_000_000),
        max_sessions: section.count("max_sessions", 100_000, 1..=10_000_000),
        max_tasks: section.count("max_tasks", 100_000, 1..=10_000_000),
        max_task_bytes: section.count("max_task_bytes", 256 * MIB, 65_536..=u64::MAX),
        max_waiters: section.count("max_waiters", 50_000, 1..=1_000_000),
        max_modules: section.count("max_modules", 1000, 1..=65_536),
        module_grace: section.seconds("module_grace", 10, 1..=3600),
        max_nodes: section.count("max_nodes", 100_000, 1..=1_000_000),
        max_targets: section.count("max_targets", 10_000, 1..=1_000_000),
        max_node_tasks: section.count("max_node_tasks", 10_000, 1..=1_000_000),
        peer_queue: section.count("peer_queue", 1000, 1..=1_000_000),
        handshake_rate: u32::try_from(section.number("handshake_rate", 200, 1..=100_000))
            .unwrap_or(u32::MAX),
        handshake_queue: section.count("handshake_queue", 10_000, 1..=1_000_000),
        default_ttl: section.seconds("default_ttl", DAY, 1..=YEAR),
        getlog_limit: section.number("getlog_limit", 10_000, 1..=1_000_000),
    }
}

/// `<name>_com_type` and `<name>_com_path`.
fn endpoint(section: &Section<'_>, name: &str, default: Option<(&str, &str)>) -> Option<Endpoint> {
    let (kind_key, path_key) = (format!("{name}_com_type"), format!("{name}_com_path"));
    let kind = section.text(&kind_key);
    let path = section.text(&path_key);
    let (kind, path) = match (kind, path, default) {
        (Some(kind), Some(path), _) => (kind, path),
        (None, None, Some((kind, path))) => (kind.to_owned(), path.to_owned()),
        (None, None, None) => return None,
        // An empty type switches the external endpoint off, whatever its path is.
        (None, Some(_), None) => return None,
        (None, Some(path), Some((kind, _))) => (kind.to_owned(), path),
        (Some(_), None, _) => {
            section.problem(
                &path_key,
                format!("is missing beside {kind_key}; write host:port, or a path for ipc"),
            );
            return None;
        }
    };
    if kind != "tcp" && kind != "ipc" {
        section.problem(
            &kind_key,
            format!("'{kind}' is not a transport; use tcp or ipc"),
        );
        return None;
    }
    Endpoint::from_config(&kind, &path)
        .map_err(|message| section.problem(&path_key, message))
        .ok()
}

fn cipher(section: &Section<'_>) {
    section.parsed("cipher", |text| match text.to_lowercase().as_str() {
        "aes" | "cipher::aes" => Ok(()),
        _ => Err(format!(
            "'{text}' is not a cipher we have; use \"Cipher::AES\""
        )),
    });
}

pub(super) fn keysize(text: &str) -> Result<usize, String> {
    match text {
        "16" => Ok(16),
        "24" => Ok(24),
        "32" => Ok(32),
        _ => Err(format!(
            "'{text}' is not a key length of AES; use 32 (or 16, 24)"
        )),
    }
}

pub(super) fn vector(text: &str) -> Result<[u8; 16], String> {
    text.as_bytes().try_into().map_err(|_| {
        format!(
            "is {} bytes long, and must be 16, as in '0123456789012345'",
            text.len()
        )
    })
}

fn database(section: &Section<'_>, checks: Checks) -> DatabaseConfig {
    let name = section.text("gorgone_db_name").map_or_else(
        || "gorgone.sdb".to_owned(),
        |name| match name.strip_prefix("dbname=") {
            Some(rest) => rest.to_owned(),
            None => name,
        },
    );
    let kind = section.parsed("gorgone_db_type", |text| {
        match text.to_lowercase().as_str() {
            "sqlite" => Ok(None),
            "mysql" | "mariadb" => Ok(Some(ServerKind::Mysql)),
            "postgres" | "postgresql" | "pg" => Ok(Some(ServerKind::Postgres)),
            _ => Err(format!(
                "'{text}' is not a database we know; use SQLite, mysql or postgres"
            )),
        }
    });
    let host = section.text("gorgone_db_host");
    let port = section
        .has("gorgone_db_port")
        .then(|| section.number("gorgone_db_port", 0, 1..=65_535))
        .and_then(|port| u16::try_from(port).ok());
    let user = section.text("gorgone_db_user");
    let password = Secret::read(section, "gorgone_db_password", checks.keys);
    match kind.flatten() {
        None => {
            if name.is_empty() {
                section.problem("gorgone_db_name", "must name the database's file");
            }
            DatabaseConfig::Sqlite { path: name.into() }
        }
        Some(kind) => {
            section.problem(
                "gorgone_db_type",
                "this release has no backend for database servers yet; use SQLite",
            );
            DatabaseConfig::Server {
                kind,
                name,
                host: host.unwrap_or_else(|| "localhost".to_owned()),
                port,
                user,
                password,
            }
        }
    }
}

pub(super) fn check_private_key(section: &Section<'_>, key: &str, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Some(text) = read_pem(section, key, path) else {
        return;
    };
    let shown = path.display();
    let mode = std::fs::metadata(path).map_or(0, |data| data.permissions().mode() & 0o777);
    if mode & 0o027 != 0 {
        section.problem(
            key,
            format!(
                "{shown} can be read or changed by others (mode {mode:03o}); run 'chmod 600 {shown}'"
            ),
        );
    }
    if let Err(error) = PrivateKey::from_pem(&text) {
        section.problem(
            key,
            format!("{shown} is not a private RSA key in PEM form: {error}"),
        );
    }
}

pub(super) fn check_public_key(section: &Section<'_>, key: &str, path: &Path) {
    let Some(text) = read_pem(section, key, path) else {
        return;
    };
    if let Err(error) = PublicKey::from_pem(&text) {
        let shown = path.display();
        section.problem(
            key,
            format!("{shown} is not a public RSA key in PEM form: {error}"),
        );
    }
}

/// The text of a key's file.
fn read_pem(section: &Section<'_>, key: &str, path: &Path) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            let folder = path.parent().unwrap_or(Path::new("."));
            let mend = match error.kind() {
                std::io::ErrorKind::NotFound => format!(
                    "make one with 'gorgonectl keys generate {}'; relative paths begin at the \
                     directory in which the daemon is started",
                    folder.display()
                ),
                std::io::ErrorKind::PermissionDenied => {
                    "give it to the user that runs the daemon".to_owned()
                }
                _ => "it must be a readable PEM file".to_owned(),
            };
            let shown = path.display();
            section.problem(key, format!("cannot read {shown}: {error}; {mend}"));
            None
        }
    }
}

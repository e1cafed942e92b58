//! The name of a request.

use std::fmt;
use std::sync::Arc;

/// What a message asks for or says. The named variants are those that gorgone itself gives a
/// meaning; any other name can be offered by a module and is carried opaquely.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Action {
    /// Run commands.
    Command,
    /// Write a line to the monitoring engine's pipe.
    EngineCommand,
    /// The state of the nodes.
    ConStatus,
    /// Rows of the history.
    GetLog,
    /// Who asked for what.
    GetAudit,
    /// Store a row in the history.
    PutLog,
    /// Are you there?
    Ping,
    /// I am.
    Pong,
    /// Tells parents that new rows wait for them.
    SyncLogs,
    /// Make nodes known.
    RegisterNodes,
    /// Forget nodes.
    UnregisterNodes,
    /// The thumbprint of this node's key.
    GetThumbprint,
    /// Counters, modules and endpoints of this node.
    Information,
    /// How much all services log.
    BcastLogger,
    /// End a request that was accepted earlier.
    Cancel,
    /// How far a request to many nodes is on each of them.
    Targets,
    /// Scheduled jobs: list them, or tell of one.
    GetCron,
    /// Schedule more.
    AddCron,
    /// Change one.
    UpdateCron,
    /// Schedule one no more.
    DeleteCron,
    /// Run one now.
    RunCron,
    /// Copy a file to a node.
    RemoteCopy,
    /// Core tells a proxy which nodes are its own.
    Nodes,
    /// A proxy tells what became of a task on its way to a node.
    Carried,
    /// A proxy tells how the connection to a node is.
    NodeState,
    /// A proxy brings rows of a node home.
    PutRows,
    /// A module wants to be the one of its kind that acts. Only from modules.
    Lease,
    /// Keep something for a module. Only from modules.
    PutState,
    /// What is kept for a module. Only from modules.
    GetState,
    /// A module offers actions: `[XREADY]`, where the name before `READY` is the module's.
    Ready(Arc<str>),
    /// Any other name.
    Other(Arc<str>),
}

impl Action {
    const NAMED: &'static [(&'static str, Action)] = &[
        ("COMMAND", Action::Command),
        ("ENGINECOMMAND", Action::EngineCommand),
        ("CONSTATUS", Action::ConStatus),
        ("GETLOG", Action::GetLog),
        ("GETAUDIT", Action::GetAudit),
        ("PUTLOG", Action::PutLog),
        ("PING", Action::Ping),
        ("PONG", Action::Pong),
        ("SYNCLOGS", Action::SyncLogs),
        ("REGISTERNODES", Action::RegisterNodes),
        ("UNREGISTERNODES", Action::UnregisterNodes),
        ("GETTHUMBPRINT", Action::GetThumbprint),
        ("INFORMATION", Action::Information),
        ("BCASTLOGGER", Action::BcastLogger),
        ("CANCEL", Action::Cancel),
        ("TARGETS", Action::Targets),
        ("GETCRON", Action::GetCron),
        ("ADDCRON", Action::AddCron),
        ("UPDATECRON", Action::UpdateCron),
        ("DELETECRON", Action::DeleteCron),
        ("RUNCRON", Action::RunCron),
        ("REMOTECOPY", Action::RemoteCopy),
        ("NODES", Action::Nodes),
        ("CARRIED", Action::Carried),
        ("NODESTATE", Action::NodeState),
        ("PUTROWS", Action::PutRows),
        ("LEASE", Action::Lease),
        ("PUTSTATE", Action::PutState),
        ("GETSTATE", Action::GetState),
    ];

    /// The action that a name on the wire stands for. Names are case-sensitive.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        if let Some((_, action)) = Self::NAMED.iter().find(|(text, _)| *text == name) {
            return action.clone();
        }
        match name.strip_suffix("READY") {
            Some(module) if !module.is_empty() => Self::Ready(module.into()),
            _ => Self::Other(name.into()),
        }
    }

    /// Whether only core and its modules say it to each other. From anybody else, and from a
    /// module on behalf of somebody else, it is an action that is not known.
    #[must_use]
    pub const fn is_for_modules(&self) -> bool {
        matches!(
            self,
            Self::Nodes
                | Self::Carried
                | Self::NodeState
                | Self::PutRows
                | Self::Lease
                | Self::PutState
                | Self::GetState
                | Self::Ready(_)
        )
    }

    /// Whether a poller that connects to its central says it there, as modules do on the internal
    /// side.
    #[must_use]
    pub const fn is_for_pollers(&self) -> bool {
        matches!(
            self,
            Self::Ready(_) | Self::Carried | Self::NodeState | Self::PutRows
        )
    }

    /// Whether it is asked of one node, and has one answer. Everything else starts something, which
    /// can be done on many nodes.
    #[must_use]
    pub const fn is_for_one_node(&self) -> bool {
        self.is_for_modules()
            || matches!(
                self,
                Self::ConStatus
                    | Self::GetThumbprint
                    | Self::Information
                    | Self::Ping
                    | Self::Pong
                    | Self::GetLog
                    | Self::PutLog
                    | Self::GetAudit
                    | Self::Targets
                    | Self::SyncLogs
                    | Self::RegisterNodes
                    | Self::UnregisterNodes
                    | Self::Cancel
            )
    }

    /// Whether it only tells something, and neither changes nor runs anything.
    #[must_use]
    pub const fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::ConStatus
                | Self::GetLog
                | Self::GetAudit
                | Self::Targets
                | Self::GetCron
                | Self::Ping
                | Self::GetThumbprint
                | Self::Information
        )
    }

    /// The name as it is written on the wire.
    #[must_use]
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Ready(module) => format!("{module}READY").into(),
            Self::Other(name) => (&**name).into(),
            named => Self::NAMED
                .iter()
                .find(|(_, action)| action == named)
                .map_or("", |(text, _)| text)
                .into(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

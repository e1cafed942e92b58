//! The module `register`: the file that lists nodes, and how it is read.
//!
//! The file is read apart from the configuration, again and again: nodes come and go without a
//! restart. What is wrong in it is told with its line and key, and then nothing of it is taken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gorgone_protocol::request::nodes::{NodeDefinition, NodeKind};
use gorgone_protocol::{Labels, NodeId};
use serde_json::{Map, Value};

use super::Checks;
use super::problem::{ConfigError, Place, Problem};
use super::section::Section;
use super::yaml::{self, Node, Yaml};

/// What core is told about the file of nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisterConfig {
    /// Whether core reads it.
    pub enable: bool,
    /// The file.
    pub config_file: Option<PathBuf>,
}

pub(super) fn read(section: Section<'_>, checks: Checks) -> RegisterConfig {
    section.raw("name");
    section.raw("package");
    let config = RegisterConfig {
        enable: section.flag("enable", false),
        config_file: section.file("config_file"),
    };
    match &config.config_file {
        None if config.enable => section.problem(
            "config_file",
            "is missing: name the file that lists the nodes, such as config/registernodes.yml",
        ),
        Some(path) if config.enable && checks.keys => {
            // Core goes on with the nodes that it knows; a check does not let it pass.
            if let Err(error) = read_nodes(path) {
                let mut left_out = section.reader().left_out.borrow_mut();
                left_out.extend(error.problems);
            }
        }
        _ => {}
    }
    section.finish();
    config
}

/// Reads a file that lists nodes: all of it is right, or nothing is taken.
///
/// # Errors
/// With everything that is wrong, each with its line and key.
pub fn read_nodes(path: &Path) -> Result<Vec<NodeDefinition>, ConfigError> {
    let whole = |message: String| ConfigError {
        problems: vec![Problem {
            place: Place::File {
                path: path.to_owned(),
                line: 0,
                column: 0,
            },
            key: String::new(),
            message,
        }],
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| whole(format!("cannot read the list of nodes: {error}")))?;
    parse_nodes(path, &text)
}

/// Like [`read_nodes`], with the text of the file at hand.
///
/// # Errors
/// See [`read_nodes`].
pub fn parse_nodes(path: &Path, text: &str) -> Result<Vec<NodeDefinition>, ConfigError> {
    let mut reading = Reading {
        path,
        problems: Vec::new(),
    };
    let nodes = match yaml::parse(text) {
        Ok(root) => reading.root(root),
        Err(error) => {
            let message = format!("this is not valid YAML: {}", error.message);
            reading.problem((error.line, error.column), "", message);
            Vec::new()
        }
    };
    if reading.problems.is_empty() {
        Ok(nodes)
    } else {
        Err(ConfigError {
            problems: reading.problems,
        })
    }
}

struct Reading<'p> {
    path: &'p Path,
    problems: Vec<Problem>,
}

const fn at(node: &Node) -> (u64, u64) {
    (node.line, node.column)
}

impl Reading<'_> {
    fn problem(&mut self, (line, column): (u64, u64), key: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            place: Place::File {
                path: self.path.to_owned(),
                line,
                column,
            },
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn root(&mut self, root: Node) -> Vec<NodeDefinition> {
        let place = at(&root);
        let entries = match root.value {
            Yaml::Null => return Vec::new(),
            Yaml::Map(entries) => entries,
            Yaml::Scalar(_) | Yaml::Plain(_) | Yaml::List(_) => {
                self.problem(place, "", "a list of nodes begins with 'nodes:'");
                return Vec::new();
            }
        };
        let mut nodes = Vec::new();
        for (key, node) in entries {
            match (key.as_str(), node.value) {
                ("nodes", Yaml::List(items)) => {
                    nodes = self.nodes(items);
                }
                ("nodes", Yaml::Null) => {}
                ("nodes", _) => self.problem(
                    (node.line, node.column),
                    "nodes",
                    "must be a list, each item with 'id:' and 'type:'",
                ),
                (other, _) => {
                    let place = (node.line, node.column);
                    self.problem(place, other, "is not known here; there is only 'nodes'");
                }
            }
        }
        nodes
    }

    fn nodes(&mut self, items: Vec<Node>) -> Vec<NodeDefinition> {
        let mut nodes: Vec<NodeDefinition> = Vec::new();
        let mut lines: BTreeMap<NodeId, u64> = BTreeMap::new();
        for (index, item) in items.into_iter().enumerate() {
            let key = format!("nodes[{index}]");
            let (place, line) = (at(&item), item.line);
            let Some(node) = self.node(&key, item) else {
                continue;
            };
            if let Some(first) = lines.insert(node.id, line) {
                let words = format!("node {} stands already in line {first}", node.id);
                self.problem(place, &format!("{key}.id"), words);
            }
            nodes.push(node);
        }
        nodes
    }

    /// Labels of a node: each wrong one is told with its own place.
    fn labels(&mut self, path: &str, node: &Node) {
        let path = format!("{path}.labels");
        let Yaml::Map(entries) = &node.value else {
            let words = "must be a mapping, such as { site: paris, role: db }";
            return self.problem(at(node), &path, words);
        };
        for (key, value) in entries {
            let place = at(value);
            let name = format!("{path}.{key}");
            match text(&value.value) {
                None => {
                    let words = "must be a text; write \"\" for a label without a value";
                    self.problem(place, &name, words);
                }
                Some(value) => {
                    if let Err(error) = Labels::parse([(key.as_str(), value)]) {
                        self.problem(place, &name, error.to_string());
                    }
                }
            }
        }
    }

    fn labels_behind(&mut self, path: &str, behind: &[Node]) {
        for (index, node) in behind.iter().enumerate() {
            if let Yaml::Map(entries) = &node.value {
                let labels = entries.iter().find(|(key, _)| key == "labels");
                if let Some((_, labels)) = labels {
                    self.labels(&format!("{path}.nodes[{index}]"), labels);
                }
            }
        }
    }

    fn node(&mut self, path: &str, item: Node) -> Option<NodeDefinition> {
        let place = at(&item);
        let Yaml::Map(entries) = item.value else {
            self.problem(place, path, "must be a mapping with 'id:' and 'type:'");
            return None;
        };
        let before = self.problems.len();
        let mut places = BTreeMap::new();
        let mut values = Map::new();
        for (key, node) in entries {
            places.insert(key.clone(), at(&node));
            match (key.as_str(), &node.value) {
                ("labels", _) => self.labels(path, &node),
                ("nodes", Yaml::List(behind)) => self.labels_behind(path, behind),
                _ => {}
            }
            values.insert(key, json(node));
        }
        let of = |key: &str| places.get(key).copied().unwrap_or(place);
        for key in ["id", "type"] {
            if !values.contains_key(key) {
                self.problem(place, &format!("{path}.{key}"), "is missing");
            }
        }
        let key = |name: &str| format!("{path}.{name}");
        let id = values.get("id").cloned().unwrap_or_default();
        if values.contains_key("id") && serde_json::from_value::<NodeId>(id.clone()).is_err() {
            let words = format!("{id} is not the id of a node: a whole number");
            self.problem(of("id"), &key("id"), words);
        }
        let kind = values.get("type").cloned().unwrap_or_default();
        match serde_json::from_value::<NodeKind>(kind.clone()) {
            Ok(NodeKind::PushZmq | NodeKind::PushSsh) if !values.contains_key("address") => {
                self.problem(place, &key("address"), "is missing: where is the node?");
            }
            Ok(_) => {}
            Err(_) if values.contains_key("type") => {
                let words = format!("{kind} is none of push_zmq, push_ssh and pull");
                self.problem(of("type"), &key("type"), words);
            }
            Err(_) => {}
        }
        if self.problems.len() > before {
            return None;
        }
        match serde_json::from_value(Value::Object(values)) {
            Ok(node) => Some(node),
            // What is left has a form of its own: the nodes behind it.
            Err(error) => {
                let words =
                    format!("must be a list of ids, or of id, pathscore and labels: {error}");
                self.problem(of("nodes"), &key("nodes"), words);
                None
            }
        }
    }
}

/// The text of a label's value; none where it is a list or a mapping.
fn text(value: &Yaml) -> Option<&str> {
    match value {
        Yaml::Scalar(text) | Yaml::Plain(text) => Some(text),
        Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
    }
}

/// The value as JSON. A plain number is one where JSON has the same digits, else the text.
fn json(node: Node) -> Value {
    match node.value {
        Yaml::Null => Value::Null,
        Yaml::Scalar(text) => text.into(),
        Yaml::Plain(text) => serde_json::from_str(&text)
            .ok()
            .filter(|value: &Value| {
                let spelled = value.to_string();
                spelled == text
            })
            .unwrap_or_else(|| text.into()),
        Yaml::List(items) => items.into_iter().map(json).collect(),
        Yaml::Map(entries) => entries
            .into_iter()
            .map(|(key, node)| (key, json(node)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

//! The layers that make a configuration: the file, the environment over it, flags over both.
//! figment merges them; where each value came from is remembered beside.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

use super::problem::{Place, Problem};
use super::yaml::{self, Node, Yaml};

/// Where the value of each key path was written.
pub(super) type Origins = BTreeMap<String, Origin>;

/// Where and how a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) place: Place,
    /// Whether YAML takes it for a number or a truth value.
    pub(super) plain: bool,
}

impl From<Place> for Origin {
    fn from(place: Place) -> Self {
        Self {
            place,
            plain: false,
        }
    }
}

/// One layer: values under the keys of the seed's shape, and their origins.
#[derive(Default)]
pub(super) struct Layer {
    name: &'static str,
    pub(super) values: Dict,
    pub(super) origins: Origins,
    /// Sections that this layer only reached into: their place where no other layer has one.
    pub(super) implied: Origins,
    pub(super) problems: Vec<Problem>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

const PREFIX: &str = "GORGONE_";
const PLAIN_KEYS: [&str; 2] = ["name", "description"];

impl Layer {
    /// The file's layer. `modules` becomes a mapping by name, the wrapper of later releases
    /// (`configuration: gorgone:`) is taken off.
    pub(super) fn file(path: &Path, source: &str) -> Self {
        let mut layer = Self {
            name: "file",
            ..Self::default()
        };
        let place = |line, column| Place::File {
            path: path.to_owned(),
            line,
            column,
        };
        let root = match yaml::parse(source) {
            Ok(root) => root,
            Err(error) => {
                layer.problem(
                    place(error.line, error.column),
                    "",
                    format!("this is not valid YAML: {}", error.message),
                );
                return layer;
            }
        };
        let at = |node: &Node| place(node.line, node.column);
        match root.value {
            Yaml::Map(entries) => {
                for (key, node) in unwrapped(entries) {
                    layer.put_top(&key, node, &at);
                }
            }
            Yaml::Null => {}
            Yaml::Scalar(_) | Yaml::Plain(_) | Yaml::List(_) => layer.problem(
                at(&root),
                "",
                "a configuration is a mapping of keys such as 'gorgonecore:' and 'modules:'"
                    .to_owned(),
            ),
        }
        layer
    }

    /// The environment's layer: `GORGONE_GORGONECORE__TIMEOUT`, `GORGONE_MODULES__ACTION__ENABLE`.
    ///
    /// Other variables that begin with `GORGONE_` are left alone: an orchestrator makes some
    /// of its own for every service's name.
    pub(super) fn environment(variables: &[(String, String)]) -> Self {
        let mut layer = Self {
            name: "environment",
            ..Self::default()
        };
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            let key = rest.to_lowercase();
            let place = Place::Environment(variable.clone());
            if key.contains("__") || PLAIN_KEYS.contains(&key.as_str()) {
                layer.put_path(&key.split("__").collect::<Vec<_>>(), text, place);
            } else if key.starts_with("gorgonecore_") || key.starts_with("modules_") {
                layer.problem(
                    place,
                    "",
                    "names no key: the parts of a key path are separated by two underscores, \
                     as in GORGONE_GORGONECORE__TIMEOUT"
                        .to_owned(),
                );
            }
        }
        layer
    }

    /// The layer of `--set gorgonecore.timeout=5`.
    pub(super) fn flags(settings: &[(String, String)]) -> Self {
        let mut layer = Self {
            name: "flags",
            ..Self::default()
        };
        for (key, text) in settings {
            let place = Place::Flag(format!("--set {key}"));
            layer.put_path(&key.split('.').collect::<Vec<_>>(), text, place);
        }
        layer
    }

    fn problem(&mut self, place: Place, key: &str, message: String) {
        self.problems.push(Problem {
            place,
            key: key.to_owned(),
            message,
        });
    }

    /// A top-level key of the file.
    fn put_top(&mut self, key: &str, node: Node, at: &dyn Fn(&Node) -> Place) {
        let value = match node.value {
            Yaml::List(items) if key == "modules" => {
                self.origins
                    .insert(key.to_owned(), place_of(at, node.line, node.column).into());
                self.modules(items, at)
            }
            value => self.value(
                key,
                Node {
                    value,
                    line: node.line,
                    column: node.column,
                },
                at,
            ),
        };
        self.values.insert(key.to_owned(), value);
    }

    /// The list of modules as a mapping by name.
    fn modules(&mut self, items: Vec<Node>, at: &dyn Fn(&Node) -> Place) -> Value {
        let mut modules = Dict::new();
        for (index, node) in items.into_iter().enumerate() {
            let place = at(&node);
            let name = match &node.value {
                Yaml::Map(entries) => entries.iter().find_map(|(key, value)| match &value.value {
                    Yaml::Scalar(name) | Yaml::Plain(name) if key == "name" && !name.is_empty() => {
                        Some(name.clone())
                    }
                    _ => None,
                }),
                Yaml::Null | Yaml::Scalar(_) | Yaml::Plain(_) | Yaml::List(_) => None,
            };
            let Some(name) = name else {
                self.problem(
                    place,
                    &format!("modules[{index}]"),
                    "a module needs a name; write '- name: action'".to_owned(),
                );
                continue;
            };
            let path = format!("modules.{name}");
            if let Some(first) = self.origins.get(&path) {
                let message = format!(
                    "this module stands here twice (first at {}); keep one",
                    first.place
                );
                self.problem(place, &path, message);
                continue;
            }
            let value = self.value(&path, node, at);
            modules.insert(name, value);
        }
        Value::from(modules)
    }

    /// A value of the file, with the origins of all that it holds.
    fn value(&mut self, path: &str, node: Node, at: &dyn Fn(&Node) -> Place) -> Value {
        let origin = Origin {
            place: at(&node),
            plain: matches!(node.value, Yaml::Plain(_)),
        };
        self.origins.insert(path.to_owned(), origin);
        match node.value {
            Yaml::Null => Value::from(""),
            Yaml::Scalar(text) | Yaml::Plain(text) => Value::from(text),
            Yaml::List(items) => Value::from(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| self.value(&format!("{path}[{index}]"), item, at))
                    .collect::<Vec<_>>(),
            ),
            Yaml::Map(entries) => Value::from(
                entries
                    .into_iter()
                    .map(|(key, item)| {
                        let value = self.value(&format!("{path}.{key}"), item, at);
                        (key, value)
                    })
                    .collect::<Dict>(),
            ),
        }
    }

    /// A value of the environment or of a flag. Text that begins as a list or a mapping of
    /// YAML is one.
    fn put_path(&mut self, path: &[&str], text: &str, place: Place) {
        let key = path.join(".");
        for length in 1..path.len() {
            let section = path[..length].join(".");
            self.implied
                .entry(section)
                .or_insert_with(|| place.clone().into());
        }
        let value = if text.trim_start().starts_with(['[', '{']) {
            match yaml::parse(text) {
                Ok(node) => {
                    let origin = place.clone();
                    self.value(&key, node, &move |_| origin.clone())
                }
                Err(error) => {
                    let message = format!("this is not valid YAML: {}", error.message);
                    self.problem(place, &key, message);
                    return;
                }
            }
        } else {
            self.origins.insert(key, place.into());
            Value::from(text)
        };
        insert(&mut self.values, path, value);
    }
}

/// Where a key stands, or where it would stand: the nearest section that was written.
pub(super) fn nearest_place(origins: &Origins, key: &str, file: &Path) -> Place {
    let mut path = key;
    loop {
        if let Some(origin) = origins.get(path) {
            return origin.place.clone();
        }
        match path.rfind(['.', '[']) {
            Some(cut) => path = &path[..cut],
            None => {
                return Place::File {
                    path: file.to_owned(),
                    line: 0,
                    column: 0,
                };
            }
        }
    }
}

fn place_of(at: &dyn Fn(&Node) -> Place, line: u64, column: u64) -> Place {
    at(&Node {
        value: Yaml::Null,
        line,
        column,
    })
}

fn insert(values: &mut Dict, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        values.insert((*first).to_owned(), value);
        return;
    }
    let inner = values
        .entry((*first).to_owned())
        .or_insert_with(|| Value::from(Dict::new()));
    if !matches!(inner, Value::Dict(..)) {
        *inner = Value::from(Dict::new());
    }
    if let Value::Dict(_, inner) = inner {
        insert(inner, rest, value);
    }
}

/// Takes off `configuration: {gorgone: {…}, centreon: {database: …}}`.
fn unwrapped(entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let mut top = Vec::new();
    for (key, node) in entries {
        match node.value {
            Yaml::Map(inner) if key == "configuration" => {
                for (key, node) in inner {
                    match node.value {
                        Yaml::Map(entries) if key == "gorgone" || key == "centreon" => {
                            top.extend(entries);
                        }
                        value => top.push((format!("configuration.{key}"), Node { value, ..node })),
                    }
                }
            }
            value => top.push((key, Node { value, ..node })),
        }
    }
    top
}

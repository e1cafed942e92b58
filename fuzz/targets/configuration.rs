//! Any text as YAML, with an environment and with settings. It is used or refused in words.
//!
//! ```text
//! YAML
//! --- environment
//! GORGONE_NAME=VALUE
//! --- settings
//! key.path=VALUE
//! ```
#![no_main]

use std::path::PathBuf;

use gorgone_fuzz::bounded;
use gorgone_runtime::config::{Checks, Config, Sources};
use libfuzzer_sys::fuzz_target;

const ENVIRONMENT: &str = "\n--- environment\n";
const SETTINGS: &str = "\n--- settings\n";

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (text, settings) = text.split_once(SETTINGS).unwrap_or((text, ""));
    let (text, environment) = text.split_once(ENVIRONMENT).unwrap_or((text, ""));
    let sources = Sources {
        file: PathBuf::from("/etc/gorgone/gorgoned.yml"),
        environment: pairs(environment),
        settings: pairs(settings),
    };
    // Positions of keys, messages with suggestions: many words for few bytes, yet bounded.
    bounded(input, 4 * 1024 * 1024, 1024, || {
        // Files are not looked at: what stands in them is not the input's.
        match Config::parse(text, &sources, Checks::default()) {
            Ok(loaded) => {
                let _ = format!("{:?} {:?}", loaded.config, loaded.warnings);
                let again = Config::parse(text, &sources, Checks::default());
                assert_eq!(again.ok().map(|it| it.config), Some(loaded.config));
            }
            Err(error) => {
                assert!(!error.problems.is_empty(), "refused, and no word about why");
                let _ = error.to_string();
            }
        }
    });
});

fn pairs(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

//! Any bytes as a message, as an answer, and as the body of each request. What can be read can
//! be written, and then reads the same.
#![no_main]

use std::time::Duration;

use gorgone_fuzz::bounded;
use gorgone_protocol::request::cancel::Cancel;
use gorgone_protocol::request::command::CommandRequest;
use gorgone_protocol::request::engine::EngineRequest;
use gorgone_protocol::request::log::{self, GetLog, PutLog, WaitFor};
use gorgone_protocol::request::nodes;
use gorgone_protocol::request::options::Options;
use gorgone_protocol::request::ready::Ready;
use gorgone_protocol::{
    AnswerName, Data, Dialect, Headers, NodeId, decode, decode_answer, encode, encode_answer,
    peek_action,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const DIALECTS: [Dialect; 2] = [Dialect::Seed, Dialect::Centreon];

fuzz_target!(|input: &[u8]| {
    // What commands share may come to a mebibyte of JSON, which is 20 in memory.
    bounded(input, 32 * 1024 * 1024, 256, || {
        message(input);
        answer(input);
        let headers = Headers::decode(input);
        if let Some(frame) = headers.encode() {
            assert_eq!(Headers::decode(&frame), headers);
        }
        // Bodies are tried without a message around them, too: that leaves more to the fuzzer.
        if let Ok(data) = std::str::from_utf8(input).map_or(Ok(Data::empty()), Data::parse) {
            bodies(&data);
        }
    });
});

fn message(input: &[u8]) {
    match decode(input) {
        Ok(message) => {
            assert_eq!(peek_action(input).as_ref(), Some(&message.action));
            let text = encode(&message);
            assert_eq!(decode(text.as_bytes()).as_ref(), Ok(&message), "{text:?}");
            bodies(&message.data);
        }
        Err(error) => drop(error.to_string()),
    }
}

fn answer(input: &[u8]) {
    let answer = match decode_answer(input) {
        Ok(answer) => answer,
        Err(error) => return drop(error.to_string()),
    };
    for dialect in DIALECTS {
        let text = encode_answer(&answer, dialect);
        let again = decode_answer(text.as_bytes()).expect("an answer can be read");
        // The seed's dialect has one name for most answers.
        let own_name = dialect == Dialect::Centreon
            || matches!(
                answer.name,
                AnswerName::Ack | AnswerName::Pong | AnswerName::SyncLogs
            );
        let expected = answer.clone();
        let expected = if own_name {
            expected
        } else {
            expected.named(AnswerName::Ack)
        };
        assert_eq!(again, expected, "{text:?}");
        if let Ok(page) = log::decode_answer(&answer, dialect) {
            let out = log::answer(None, NodeId::new(1), &page, dialect);
            let again = log::decode_answer(&out, dialect).expect("rows can be read");
            assert_eq!(again.more, page.more);
            // Rows are keyed by their number in the seed's dialect: one row each.
            if dialect == Dialect::Centreon {
                assert_eq!(again.rows, page.rows);
            } else {
                assert!(again.rows.len() <= page.rows.len());
            }
        }
    }
}

fn bodies(data: &Data) {
    for dialect in DIALECTS {
        if let Ok(mut get) = GetLog::decode(data, dialect) {
            if get.wait.is_none() {
                // Says nothing then, and is not written.
                get.wait_for = WaitFor::default();
            }
            let again = GetLog::decode(&get.encode(dialect), dialect);
            assert_eq!(again.expect("GETLOG can be read"), get);
        }
        if let Ok(put) = PutLog::decode(data, dialect) {
            let again = PutLog::decode(&put.encode(dialect), dialect);
            assert_eq!(again.expect("PUTLOG can be read"), put);
        }
    }
    match CommandRequest::decode(data) {
        Ok(mut request) => {
            // Fractions may lose their last bit on the way through a text, and metadata that
            // was shared may come to stand deeper than a parser goes.
            for command in &mut request.commands {
                if command.metadata.as_ref().is_some_and(is_delicate) {
                    command.metadata = None;
                }
                if command.timeout.is_some_and(|it| it.subsec_nanos() != 0) {
                    command.timeout = Some(Duration::from_millis(1500));
                }
            }
            let again = CommandRequest::decode(&request.encode());
            assert_eq!(again.expect("COMMAND can be read"), request);
        }
        Err(error) => drop(error.to_string()),
    }
    match EngineRequest::decode(data) {
        Ok(request) => {
            // Lines share their pipe in memory, and not in a text.
            let pipes = request.lines.iter().filter_map(|line| line.pipe.as_ref());
            if pipes.map(|pipe| pipe.len()).sum::<usize>() > 1024 * 1024 {
                return;
            }
            let again = EngineRequest::decode(&request.encode());
            assert_eq!(again.expect("ENGINECOMMAND can be read"), request);
        }
        Err(error) => drop(error.to_string()),
    }
    if let Ok(ready) = data.decode::<Ready>() {
        let again = Data::from_value(&ready).decode::<Ready>();
        assert_eq!(again.expect("READY can be read"), ready);
    }
    if let Ok(cancel) = data.decode::<Cancel>() {
        let again = Data::from_value(&cancel).decode::<Cancel>();
        assert_eq!(again.expect("CANCEL can be read"), cancel);
    }
    if let Ok(definitions) = nodes::decode_register(data) {
        for definition in definitions {
            let text = Data::from_value(&definition);
            if definition.rest.values().any(is_delicate) {
                continue;
            }
            let again = text.decode::<nodes::NodeDefinition>();
            assert_eq!(again.expect("a node can be read"), definition);
        }
    }
    let _ = nodes::decode_unregister(data);
    let _ = Options::peek(data);
}

/// Holds a fraction, or is nested.
fn is_delicate(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(values) => !values.is_empty(),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

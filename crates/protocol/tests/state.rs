//! The bodies of LEASE, PUTSTATE and GETSTATE, and what is refused of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gorgone_protocol::request::lease::{Grant, Lease, LeaseName};
use gorgone_protocol::request::log::PutLog;
use gorgone_protocol::request::state::{Fence, GetState, PutState, StatePage};
use gorgone_protocol::{Code, Data, Token};
use serde_json::{Value, json};

fn put(body: &Value) -> Result<PutState, String> {
    PutState::decode(&Data::from_value(body)).map_err(|error| error.to_string())
}

#[test]
fn what_is_written_is_read_back() {
    let name = LeaseName::parse("cron").unwrap();
    let lease = Lease {
        name: name.clone(),
        ttl: Duration::from_secs(10),
        wait: Duration::from_secs(300),
        anew: true,
    };
    assert_eq!(Lease::decode(&lease.encode()).unwrap(), lease);

    let state = PutState {
        fence: Fence { name, number: 7 },
        sequence: Some(3),
        put: BTreeMap::from([("cron/a".to_owned(), r#"{"n":[1, 2]}"#.to_owned())]),
        drop: BTreeSet::from(["cron/b".to_owned()]),
        rows: vec![PutLog {
            token: Some("t".to_owned()),
            code: Code::Ko,
            etime: Some(5),
            data: r#"{"message":"é"}"#.to_owned(),
            sequence: None,
            attempt: None,
        }],
    };
    assert_eq!(PutState::decode(&state.encode()).unwrap(), state);

    let keys = GetState {
        prefix: "cron/".to_owned(),
        after: Some("cron/a".to_owned()),
        limit: Some(5),
    };
    assert_eq!(GetState::decode(&keys.encode()).unwrap(), keys);

    let token = Token::parse("t").unwrap();
    let page = StatePage {
        entries: vec![("cron/a".to_owned(), r#"{"z":1,"a":2}"#.to_owned())],
        more: true,
    };
    assert_eq!(
        StatePage::decode(&page.answer(token.clone())).unwrap(),
        page
    );
    let free = Grant::Free {
        holder: Some("cron-2".to_owned()),
        left: 6,
    };
    for grant in [Grant::Held { fence: 7 }, Grant::FREE, free] {
        let answer = grant.clone().answer(token.clone());
        assert_eq!(Grant::decode(&answer).unwrap(), grant);
    }
}

#[test]
fn lease_takes_only_plain_names_and_bounded_times() {
    let lease = |body: Value| Lease::decode(&Data::from_value(&body));
    let long = lease(json!({"name":"cron","ttl":"90000","wait":null})).unwrap();
    assert_eq!(long.ttl, Duration::from_secs(3600));
    assert_eq!(long.wait, Duration::ZERO);
    for wrong in [
        json!({"name":"cron"}),
        json!({"name":"Cron","ttl":1}),
        json!({"name":"","ttl":1}),
        json!({"name":"cron/a","ttl":1}),
        json!({"name":"a".repeat(65),"ttl":1}),
        json!(5),
    ] {
        assert!(lease(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn state_is_kept_only_below_the_name_of_its_lease() {
    let fence = json!({"name":"cron","number":1});
    for key in ["other/a", "cron", "cron/", "cronx/a", "cron/a\nb"] {
        let error = put(&json!({"fence":fence,"put":{key:1}})).unwrap_err();
        assert!(error.starts_with("key '"), "{error}");
        assert!(put(&json!({"fence":fence,"drop":[key]})).is_err());
    }
}

#[test]
fn state_has_bounds() {
    let fence = json!({"name":"cron","number":1});
    let many: Vec<String> = (0..4097).map(|n| format!("cron/{n}")).collect();
    for (body, word) in [
        (json!({"fence":fence,"drop":many}), "4096"),
        (
            json!({"fence":fence,"put":{"cron/a":"x".repeat(300_000)}}),
            "256 KiB",
        ),
        (
            json!({"fence":fence,"rows":[{"token":"t","code":0,"data":"x".repeat(9 << 20)}]}),
            "8 MiB",
        ),
        (
            json!({"fence":fence,"rows":[{"code":0,"data":{}}]}),
            "token",
        ),
        (
            json!({"fence":fence,"rows":[{"token":"t","data":{}}]}),
            "missing field `code`",
        ),
        (json!({"put":{}}), "fence"),
    ] {
        let error = put(&body).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

//! The words between core and a proxy.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use gorgone_protocol::request::carried::{Carried, Outcome};
use gorgone_protocol::request::log::Row;
use gorgone_protocol::request::node_state::{LinkState, NodeState};
use gorgone_protocol::request::owned::OwnedNodes;
use gorgone_protocol::request::pong::Pong;
use gorgone_protocol::request::put_rows::{BadRows, PutRows};
use gorgone_protocol::{Code, Data, NodeId};

fn data(text: &str) -> Data {
    Data::parse(text).unwrap()
}

#[test]
fn pong_teaches_which_nodes_are_reached_through_a_node_and_how_far_they_are() {
    let old = r#"{"action":"ping","message":"ping ok","id":"2","hostname":"a","data":{
        "5":{"type":"push_zmq","nodes":{"6":{"nodes":{"7":{}}},"2":{}}},
        "8":{"nodes":{"9":40,"6":{"pathscore":9}}},"x":{}}}"#;
    let pong = Pong::decode(&data(old)).unwrap();
    assert_eq!((pong.id, pong.dedups), (NodeId::new(2), false));
    let learnt: Vec<_> = pong
        .learnt()
        .into_iter()
        .map(|(id, n)| (id.get(), n))
        .collect();
    assert_eq!(learnt, [(5, 1), (6, 2), (7, 3), (8, 1), (9, 41)]);
    assert_eq!(Pong::decode(&pong.encode()).unwrap(), pong);
}

#[test]
fn node_state_and_carried_read_what_they_write_and_need_only_what_matters() {
    let state: NodeState = data(r#"{"id":4,"state":"key_changed","since":9,"nodes":{"6":3}}"#)
        .decode()
        .unwrap();
    assert_eq!(state.state, LinkState::KeyChanged);
    assert_eq!(state.nodes[&NodeId::new(6)], 3);
    assert_eq!(
        Data::from_value(&state).decode::<NodeState>().unwrap(),
        state
    );
    let carried: Carried = data(r#"{"token":"t","node":"4","attempt":2,"outcome":"unsent"}"#)
        .decode()
        .unwrap();
    assert_eq!(carried.outcome, Outcome::Unsent);
    let owned: OwnedNodes = data(r#"{"drop":[4]}"#).decode().unwrap();
    assert_eq!((owned.all, owned.drop), (false, vec![NodeId::new(4)]));
}

#[test]
fn rows_that_are_out_of_order_or_outside_their_marks_are_refused() {
    let row = |id| Row {
        id,
        token: "t".to_owned(),
        code: Code::Ko,
        etime: 1,
        ctime: 2,
        data: "{}".to_owned(),
        node: None,
    };
    let page = |after, upto, ids: &[i64]| PutRows {
        node: NodeId::new(4),
        after,
        known: None,
        life: None,
        upto,
        begun: None,
        rows: ids.iter().map(|id| row(*id)).collect(),
    };
    let whole = page(17, 40, &[18, 30]);
    assert_eq!(PutRows::decode(&whole.encode()).unwrap(), whole);
    for bad in [
        page(17, 40, &[17]),
        page(17, 40, &[20, 19]),
        page(17, 40, &[41]),
        page(17, 16, &[]),
    ] {
        assert!(matches!(
            PutRows::decode(&bad.encode()),
            Err(BadRows::Order { .. })
        ));
    }
}

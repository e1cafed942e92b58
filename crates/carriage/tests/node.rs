//! One node, without IO and on a clock by hand.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

mod far;

use std::time::Duration;

use far::{World, history, settings};
use gorgone_carriage::Event;
use gorgone_protocol::request::carried::Outcome;
use gorgone_protocol::request::node_state::LinkState;
use gorgone_protocol::{Action, Dialect, NodeId, Status};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn node_is_up_after_its_first_pong_and_not_before() {
    for dialect in [Dialect::Seed, Dialect::Centreon] {
        let mut world = World::with(dialect, 0);
        world.run();
        let state = world.states.last().unwrap();
        assert_eq!(state.state, LinkState::Up, "{dialect:?}");
        assert_eq!(state.dedups, Some(true));
        assert_eq!(state.hostname.as_deref(), Some("far"));
        assert_eq!(state.nodes[&NodeId::new(400)], 1);
        assert_eq!((state.ping_ok, state.ping_failed), (1, 0));
        assert_eq!(world.handshakes, 1);
    }
    let mut world = World::new();
    world.mute = true;
    world.run();
    assert_eq!(world.shown().0, LinkState::Connecting);
}

#[test]
fn tasks_go_out_in_order_within_the_window_and_are_accepted_by_their_answer_only() {
    let mut world = World::new();
    world.run();
    world.mute = true;
    for number in 0..6 {
        world.task(&number.to_string());
    }
    assert_eq!(world.heard, ["0", "1", "2", "3"]);
    assert_eq!(world.carried, []);
    // No answer comes, so the connection is made anew; what it has had it recognises.
    world.mute = false;
    world.pass(70 * SECOND);
    let first = &world.heard[4..];
    assert_eq!(first, ["0", "1", "2", "3"]);
    let outcomes = world.outcomes();
    let unsent = [("4", Outcome::Unsent), ("5", Outcome::Unsent)];
    assert_eq!(outcomes[..2], unsent);
    let accepted = ["0", "1", "2", "3"].map(|token| (token, Outcome::Accepted));
    assert_eq!(outcomes[2..], accepted);
}

#[test]
fn what_a_node_says_to_a_task_is_told_as_it_is_meant() {
    for (words, outcome) in [
        (json!({ "message": "no", "error": "busy" }), Outcome::Busy),
        (json!({ "error": "unavailable" }), Outcome::Busy),
        (
            json!({ "message": "gorgone is stopping/restarting. Not proceed request." }),
            Outcome::Busy,
        ),
        (
            json!({ "message": "action 'X' is not known" }),
            Outcome::Refused,
        ),
        (json!(null), Outcome::Refused),
    ] {
        let mut world = World::new();
        world.run();
        world.refuses = Some(words.clone());
        world.task("t");
        assert_eq!(world.outcomes(), [("t", outcome)], "{words}");
        let said = words["message"].as_str().unwrap_or_default();
        assert_eq!(world.carried[0].message, said);
    }
}

#[test]
fn task_that_may_have_arrived_at_a_node_that_would_run_it_twice_ends_unknown() {
    let mut world = World::new();
    world.dedups = false;
    world.run();
    world.mute = true;
    for number in 0..5 {
        world.task(&number.to_string());
    }
    world.cut();
    let mut expected: Vec<_> = ["0", "1", "2", "3"]
        .map(|token| (token, Outcome::Unknown))
        .into();
    expected.push(("4", Outcome::Unsent));
    assert_eq!(world.outcomes(), expected);
    world.mute = false;
    world.pass(10 * SECOND);
    assert_eq!(world.shown().0, LinkState::Up);
    assert_eq!(world.heard.len(), 4);
}

#[test]
fn tasks_of_a_node_that_stays_away_go_back_after_a_while() {
    let mut world = World::new();
    world.run();
    world.mute = true;
    world.task("a");
    world.reachable = false;
    world.cut();
    assert_eq!(world.outcomes(), []);
    world.pass(29 * SECOND);
    assert_eq!(world.outcomes(), []);
    world.pass(SECOND);
    assert_eq!(world.outcomes(), [("a", Outcome::Unknown)]);
    // What is handed over while it is away has not left.
    world.task("b");
    assert_eq!(world.outcomes()[1], ("b", Outcome::Unsent));
}

#[test]
fn task_is_not_sent_when_its_time_is_over() {
    let mut world = World::new();
    world.run();
    world.task_until("late", Some(world.now.unix_ms));
    world.task_until("in time", Some(world.now.unix_ms + 1));
    assert_eq!(world.heard, ["in time"]);
    assert_eq!(
        world.outcomes(),
        [("late", Outcome::Unsent), ("in time", Outcome::Accepted)]
    );
}

#[test]
fn task_that_is_handed_over_again_while_it_is_under_way_is_sent_once() {
    let mut world = World::new();
    world.run();
    world.mute = true;
    world.task("a");
    world.task("a");
    assert_eq!(world.heard, ["a"]);
}

#[test]
fn node_that_is_not_ours_any_more_gives_everything_back() {
    let mut world = World::new();
    world.run();
    world.mute = true;
    for number in 0..5 {
        world.task(&number.to_string());
    }
    world.question("q", Action::Information);
    world.handle(Event::Dropped);
    let unsent = world
        .outcomes()
        .iter()
        .filter(|(_, outcome)| *outcome == Outcome::Unsent)
        .count();
    assert_eq!((world.carried.len(), unsent), (5, 1));
    assert_eq!(world.answers[0].status, Status::Nok);
    assert!(!world.connected);
}

#[test]
fn lost_connection_is_made_anew_for_ever_with_growing_waits_and_without_rsa() {
    let mut world = World::new();
    world.run();
    world.reachable = false;
    world.cut();
    world.pass(3600 * SECOND);
    let waits: Vec<_> = world
        .dials
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    // Between half a minute and a minute each, once they have grown.
    assert!((60..=130).contains(&waits.len()), "{}", waits.len());
    assert!(waits[1] < 2 * SECOND && waits[1] >= SECOND / 2);
    let late = &waits[10..];
    assert!(
        late.iter()
            .all(|wait| (30 * SECOND..=60 * SECOND).contains(wait))
    );
    assert!(late.iter().any(|wait| *wait != late[0]), "no jitter");
    assert_eq!(world.shown(), (LinkState::Down, "nobody listens"));
    // The node still knows the session.
    world.reachable = true;
    world.pass(60 * SECOND);
    assert_eq!(world.shown().0, LinkState::Up);
    assert_eq!(world.handshakes, 1);
}

#[test]
fn node_that_flaps_is_tried_less_and_less_often() {
    let mut world = World::new();
    for _ in 0..4000 {
        world.pass(Duration::from_millis(25));
        world.cut();
    }
    assert!(world.dials.len() < 15, "{} dials", world.dials.len());
    assert_eq!(world.handshakes, 1);
}

#[test]
fn node_that_forgot_the_session_is_greeted_anew_at_once() {
    let mut world = World::new();
    world.run();
    world.pass(5 * SECOND);
    world.forget();
    world.task("a");
    assert_eq!(world.handshakes, 2);
    assert_eq!(world.dials.len(), 1);
    assert_eq!(world.shown().0, LinkState::Up);
    assert_eq!(world.outcomes(), [("a", Outcome::Accepted)]);
    // Also when it forgets while the connection is lost.
    world.cut();
    world.forget();
    world.pass(5 * SECOND);
    assert_eq!(world.handshakes, 3);
    assert_eq!(world.shown().0, LinkState::Up);
}

#[test]
fn node_that_refuses_us_is_shown_and_tried_again_when_it_has_learnt_better() {
    let mut world = World::new();
    world.trust(false);
    world.pass(600 * SECOND);
    let (state, words) = world.shown();
    assert_eq!(state, LinkState::Refused);
    assert!(words.contains("authorized_clients"), "{words}");
    assert!(world.handshakes < 30, "{}", world.handshakes);
    world.trust(true);
    world.pass(60 * SECOND);
    assert_eq!(world.shown().0, LinkState::Up);
}

#[test]
fn definition_that_is_wrong_is_shown_and_read_again() {
    let mut world = World::new();
    world.resolve_problem = Some("server_pubkey is missing".to_owned());
    world.pass(100 * SECOND);
    assert_eq!(world.shown(), (LinkState::Down, "server_pubkey is missing"));
    assert_eq!(world.dials.len(), 0);
    world.resolve_problem = None;
    world.pass(60 * SECOND);
    assert_eq!(world.shown().0, LinkState::Up);
}

#[test]
fn first_key_that_a_node_names_is_kept_and_another_one_is_refused_and_shown() {
    let mut world = World::new();
    let theirs = world.known_key.take();
    world.run();
    assert_eq!(world.shown().0, LinkState::Up);
    assert_eq!(world.known_key, theirs);
    world.cut();
    world.new_key();
    world.pass(100 * SECOND);
    let (state, words) = world.shown();
    assert_eq!(state, LinkState::KeyChanged);
    assert!(
        words.contains("another one than in server_pubkey"),
        "{words}"
    );
    assert_eq!(
        world.handshakes, 2,
        "nothing is said to it under its new key"
    );
    // Whoever mends it takes the old key away.
    world.known_key = None;
    world.pass(60 * SECOND);
    assert_eq!(world.shown().0, LinkState::Up);
}

#[test]
fn node_that_does_not_tell_its_key_must_be_known() {
    for known in [true, false] {
        let mut world = World::new();
        world.tells_key = false;
        world.forget();
        if !known {
            world.known_key = None;
        }
        world.run();
        let (state, words) = world.shown();
        if known {
            assert_eq!(state, LinkState::Up);
        } else {
            assert_eq!(state, LinkState::Refused);
            assert!(words.contains("server_pubkey is missing"), "{words}");
        }
    }
}

#[test]
fn another_node_under_the_address_is_given_nothing() {
    let mut world = World::new();
    world.says_id = 7;
    world.run();
    world.task("a");
    let (state, words) = world.shown();
    assert_eq!(state, LinkState::Refused);
    assert!(words.contains("says that it is 7, not 4"), "{words}");
    assert_eq!(world.outcomes(), [("a", Outcome::Unsent)]);
    assert!(world.heard.is_empty());
}

#[test]
fn pings_come_every_minute_and_one_that_is_missed_shows() {
    let mut world = World::new();
    world.pass(600 * SECOND);
    let state = world.states.last().unwrap();
    assert!((10..=12).contains(&state.ping_ok), "{}", state.ping_ok);
    assert_eq!(state.ping_failed, 0);
    world.deaf = true;
    world.pass(130 * SECOND);
    assert_eq!(
        world.shown(),
        (LinkState::Down, "it did not answer the last ping")
    );
    assert_eq!(world.dials.len(), 1);
    world.deaf = false;
    world.pass(60 * SECOND);
    assert_eq!(world.shown().0, LinkState::Up);
    // Silence for five minutes: the connection is made anew.
    world.deaf = true;
    world.pass(310 * SECOND);
    assert!(world.dials.len() > 1);
    world.deaf = false;
    world.pass(90 * SECOND);
    assert_eq!(world.shown().0, LinkState::Up);
}

#[test]
fn rows_come_home_once_each_page_by_page() {
    let mut world = World::with(Dialect::Seed, 3);
    for _ in 0..57 {
        world.row();
    }
    world.run();
    let all: Vec<i64> = (4..=57).collect();
    assert_eq!(world.stored, all);
    assert_eq!(world.pages[..2], [(3, 10), (13, 10)]);
    let state = world.states.last().unwrap();
    assert_eq!(state.newest_row, Some(57));
    assert_eq!(state.synced_at, world.now.unix());
    // At once when the node says that there are more, else every five minutes.
    world.row();
    world.says_sync_logs();
    assert_eq!(world.stored.last(), Some(&58));
    world.row();
    world.pass(settings().sync_every);
    assert_eq!(world.stored.last(), Some(&59));
}

#[test]
fn lost_page_is_asked_for_again_after_seconds_and_smaller() {
    let mut world = World::new();
    for _ in 0..30 {
        world.row();
    }
    world.lose_pages = 2;
    world.run();
    world.pass(16 * SECOND);
    assert_eq!(world.stored, (1..=30).collect::<Vec<i64>>());
    assert_eq!(world.pages[..4], [(0, 10), (0, 5), (0, 2), (2, 10)]);
}

#[test]
fn synchronisation_survives_lost_links_and_a_core_that_has_no_time_or_another_mark() {
    let mut world = World::new();
    for _ in 0..25 {
        world.row();
    }
    world.core_later = 3;
    // Core has the first rows already: another proxy brought them, and died.
    world.mark.id = 7;
    world.lose_pages = 1;
    world.run();
    world.cut();
    world.pass(30 * SECOND);
    assert_eq!(world.stored, (8..=25).collect::<Vec<i64>>());
}

#[test]
fn question_for_the_rows_is_answered_when_they_are_here() {
    let mut world = World::new();
    world.run();
    world.row();
    world.lose_pages = 1;
    world.question("q", Action::GetLog);
    assert_eq!(world.answers, []);
    world.pass(6 * SECOND);
    assert_eq!(world.stored, [1]);
    let answer = &world.answers[0];
    assert_eq!(answer.token.as_ref().unwrap().as_str(), "q");
    assert_eq!(answer.status, Status::Ok);
}

#[test]
fn rows_that_never_come_are_given_up_and_whoever_waited_is_told() {
    let mut world = World::new();
    world.run();
    world.lose_pages = usize::MAX;
    world.question("q", Action::GetLog);
    world.pass(151 * SECOND);
    assert_eq!(world.answers[0].status, Status::Nok);
    let asked = world.pages.len();
    world.pass(60 * SECOND);
    assert_eq!(world.pages.len(), asked, "it rests until the next time");
    world.lose_pages = 0;
    world.row();
    world.pass(settings().sync_every);
    assert_eq!(world.stored, [1]);
}

#[test]
fn questions_are_answered_by_the_node_or_at_once() {
    let mut world = World::new();
    world.run();
    world.question("same", Action::Information);
    world.question("same", Action::Ping);
    assert_eq!(world.answers.len(), 2);
    for answer in &world.answers {
        assert_eq!(answer.token.as_ref().unwrap().as_str(), "same");
        assert_eq!(answer.status, Status::Ok);
    }
    world.reachable = false;
    world.cut();
    world.question("away", Action::Information);
    let words = world.answers[2].data.as_str();
    assert!(words.contains("node 4 cannot be reached: cut"), "{words}");
}

#[test]
fn rows_come_home_life_by_life_and_from_the_beginning_where_the_database_is_another_one() {
    let mut world = World::new();
    world.history = Some(history(&[(1, 12), (2, 12), (3, 25)], 4));
    for _ in 0..27 {
        world.row();
    }
    world.run();
    let lives: Vec<_> = world.mark.lives.iter().map(|(_, last)| *last).collect();
    assert_eq!((world.mark.id, lives), (27, vec![12, 25, 27]));
    assert_eq!(world.stored, (1..=27).collect::<Vec<_>>());
    // A restart of the node only changes its life.
    world.history = Some(history(&[(1, 12), (2, 12), (3, 25), (4, 27)], 5));
    world.cut();
    world.pass(10 * SECOND);
    assert_eq!((world.mark.id, world.stored.len()), (27, 27));
    // An older copy: what both have is not fetched again.
    world.history = Some(history(&[(1, 12), (2, 12), (3, 20)], 6));
    world.rows.truncate(20);
    for _ in 0..2 {
        world.row();
    }
    world.cut();
    world.pass(10 * SECOND);
    assert_eq!(world.stored[27..], [21, 22]);
    // An empty database.
    world.history = Some(history(&[], 7));
    world.rows.clear();
    for _ in 0..3 {
        world.row();
    }
    world.cut();
    world.pass(10 * SECOND);
    assert_eq!(world.stored[29..], [1, 2, 3]);
    assert_eq!(world.mark.id, 3);
}

#[test]
fn what_a_node_may_have_forgotten_is_not_sent_to_it_again() {
    let mut world = World::new();
    world.history = Some(history(&[], 1));
    world.run();
    world.mute = true;
    world.task("sent");
    world.mute = false;
    world.history = Some(history(&[], 2));
    // Nothing goes to it before core has written down that it has begun anew.
    world.core_later = 1;
    world.cut();
    world.pass(SECOND + SECOND / 2);
    assert_ne!(world.shown().0, LinkState::Up);
    world.pass(5 * SECOND);
    assert_eq!(world.shown().0, LinkState::Up);
    assert_eq!(world.heard, ["sent"]);
    assert_eq!(world.outcomes(), [("sent", Outcome::Unknown)]);
}

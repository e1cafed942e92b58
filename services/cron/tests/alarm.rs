//! The alarm by the system's clock.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gorgone_cron::{Alarm, Ring};

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn alarm_rings_when_the_clock_shows_the_time_and_not_before() {
    let mut alarm = Alarm::new().unwrap();
    let at = now_ms() + 50;
    alarm.set(Some(at)).unwrap();
    assert_eq!(alarm.rings().await.unwrap(), Ring::Time);
    assert!(now_ms() >= at);
    // A time that has passed already.
    alarm.set(Some(at)).unwrap();
    assert_eq!(alarm.rings().await.unwrap(), Ring::Time);
    alarm.set(None).unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(50), alarm.rings());
    assert!(silent.await.is_err());
}

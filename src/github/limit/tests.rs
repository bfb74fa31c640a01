//! How the limits are kept, on a paused clock.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Writes of a lane until one would have to wait for long: how many, and that wait.
async fn writes(limiter: &Limiter, lane: Lane) -> (usize, Duration) {
    for count in 0.. {
        if let Err(Limited { wait }) = limiter.turn(Some(lane)).await {
            return (count, wait);
        }
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn writes_keep_below_both_limits_and_leave_room_for_answers() {
    let limiter = Limiter::new(Duration::ZERO);
    tokio::time::advance(HOUR).await;
    let (count, wait) = writes(&limiter, Lane::Show).await;
    assert_eq!((count, wait), (50, MINUTE));
    assert_eq!(writes(&limiter, Lane::Decide).await.0, 15);
    assert_eq!(writes(&limiter, Lane::Acknowledge).await.0, 10);
    // Each lane goes on until the hour's share of it is used.
    let mut total = 75;
    while limiter.turn(Some(Lane::Show)).await.is_ok() || {
        tokio::time::advance(MINUTE).await;
        limiter.state().writes.len() < 380
    } {
        total = limiter.state().writes.len();
    }
    assert_eq!(total, 380);
    tokio::time::advance(MINUTE).await;
    assert!(limiter.turn(Some(Lane::Acknowledge)).await.is_ok());
}

/// So many writes of a lane; how long they took.
async fn written(limiter: &Limiter, lane: Lane, count: u32) -> u64 {
    let started = Instant::now();
    for _ in 0..count {
        drop(limiter.turn(Some(lane)).await.unwrap());
    }
    started.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn after_a_burst_writes_keep_the_interval() {
    let limiter = Limiter::new(SECOND);
    assert_eq!(written(&limiter, Lane::Decide, 40).await, 0);
    assert_eq!(written(&limiter, Lane::Decide, 5).await, 5);
    let at_once = written(&limiter, Lane::Acknowledge, 1).await;
    assert_eq!(at_once, 0, "an answer goes at once");
    tokio::time::advance(MINUTE).await;
    assert_eq!(written(&limiter, Lane::Decide, 40).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_decides_does_not_wait_behind_what_shows() {
    let limiter = Limiter::new(SECOND);
    assert_eq!(written(&limiter, Lane::Show, 20).await, 0);
    assert_eq!(written(&limiter, Lane::Show, 2).await, 2);
    assert_eq!(written(&limiter, Lane::Decide, 20).await, 0);
    // What shows waits until that has gone.
    let limited = limiter.turn(Some(Lane::Show)).await.err();
    assert_eq!(limited, Some(Limited { wait: 21 * SECOND }));
    assert_eq!(written(&limiter, Lane::Decide, 1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_start_half_of_the_hour_counts_as_used() {
    let limiter = Limiter::new(Duration::ZERO);
    let used = async |lane: Lane, minutes: u32| {
        for _ in 0..minutes {
            writes(&limiter, lane).await;
            tokio::time::advance(MINUTE).await;
        }
        limiter.state().writes.len()
    };
    let soon = used(Lane::Show, 5).await;
    assert!((190..210).contains(&soon), "{soon}");
    // People's answers have a larger share.
    assert!(limiter.turn(Some(Lane::Acknowledge)).await.is_ok());
    let late = used(Lane::Show, 50).await;
    assert!((355..=380).contains(&late), "{late}");
}

#[tokio::test(start_paused = true)]
async fn an_enterprise_server_without_limits_has_only_pauses() {
    let limiter = Limiter::new(SECOND);
    let mut headers = HeaderMap::new();
    headers.insert(enterprise::VERSION, "3.17.0".parse().unwrap());
    limiter.answered(&headers);
    for _ in 0..2 * POINTS_A_MINUTE {
        drop(limiter.turn(None).await.unwrap());
    }
    assert_eq!(written(&limiter, Lane::Decide, 40).await, 0);
    assert_eq!(written(&limiter, Lane::Decide, 600).await, 600);
    // Limits that its administrator sets are told, and hold.
    headers.insert("x-ratelimit-remaining", 4_000.into());
    limiter.answered(&headers);
    headers.remove("x-ratelimit-remaining");
    limiter.answered(&headers);
    let (count, _) = writes(&limiter, Lane::Acknowledge).await;
    assert!(count < 480, "{count}");
}

#[tokio::test(start_paused = true)]
async fn points_are_bounded_in_every_minute() {
    let limiter = Limiter::new(Duration::ZERO);
    for _ in 0..POINTS_A_MINUTE {
        drop(limiter.turn(None).await.unwrap());
    }
    assert_eq!(
        limiter.turn(None).await.err(),
        Some(Limited { wait: MINUTE })
    );
    tokio::time::advance(MINUTE).await;
    assert!(limiter.turn(None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_github_limits_the_installation() {
    let limiter = Limiter::new(Duration::ZERO);
    assert_eq!(limiter.limited(None), UNSAID);
    assert_eq!(limiter.limited(Some(SECOND)), SECOND);
    assert_eq!(
        limiter.turn(None).await.err(),
        Some(Limited { wait: UNSAID }),
        "the longer one counts"
    );
    tokio::time::advance(UNSAID).await;
    assert!(limiter.turn(None).await.is_ok());
    let mut headers = HeaderMap::new();
    let reset = jiff::Timestamp::now().as_second() + 600;
    headers.insert("x-ratelimit-remaining", 0.into());
    headers.insert("x-ratelimit-reset", reset.into());
    limiter.answered(&headers);
    let wait = limiter.turn(None).await.err().unwrap().wait;
    assert!(wait > 590 * SECOND && wait <= 600 * SECOND, "{wait:?}");
}

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(days: &str, from: &str, to: &str, zone: &str) -> Calendar {
    let times = RawTimes {
        from,
        to,
        zone: Some(zone),
    };
    Calendar {
        windows: vec![window(Some(days), &times).unwrap()],
        freezes: vec![],
    }
}

/// What a calendar says at a time, and when it says something else at the earliest.
fn said(calendar: &Calendar, now: &str) -> String {
    let now = at(now);
    let opening = match calendar.at(now) {
        Opening::Open { since: None } => "open".into(),
        Opening::Open { since: Some(since) } => format!("open since {since}"),
        Opening::Frozen(freeze) => format!("frozen until {}", freeze.until),
        Opening::Outside { opens: None } => "closed for ever".into(),
        Opening::Outside {
            opens: Some((opens, zone)),
        } => format!("opens {}", words(opens, zone)),
    };
    match calendar.changes(now) {
        Some(next) => format!("{opening}; {next}"),
        None => opening,
    }
}

/// 2026-11-27 is a Friday.
#[test]
fn windows_open_and_close_by_the_clock_of_their_zone() {
    let office = calendar("mon-fri", "09:00", "16:00", "Europe/Berlin");
    let night = calendar("fri,sat", "22:00", "02:00", "Europe/Berlin");
    let day = calendar("sun", "00:00", "24:00", "UTC");
    let table = [
        (
            &office,
            "2026-11-27T07:59:59Z",
            "opens 2026-11-27 09:00 Europe/Berlin; 2026-11-27T08:00:00Z",
        ),
        (
            &office,
            "2026-11-27T08:00:00Z",
            "open since 2026-11-27T08:00:00Z; 2026-11-27T15:00:00Z",
        ),
        (
            &office,
            "2026-11-27T15:00:00Z",
            "opens 2026-11-30 09:00 Europe/Berlin; 2026-11-30T08:00:00Z",
        ),
        // It is still Friday's window, on Saturday and in UTC alike; Sunday night has none.
        (
            &night,
            "2026-11-27T23:30:00Z",
            "open since 2026-11-27T21:00:00Z; 2026-11-28T01:00:00Z",
        ),
        (
            &night,
            "2026-11-28T01:00:00Z",
            "opens 2026-11-28 22:00 Europe/Berlin; 2026-11-28T21:00:00Z",
        ),
        (
            &night,
            "2026-11-29T22:00:00Z",
            "opens 2026-12-04 22:00 Europe/Berlin; 2026-12-04T21:00:00Z",
        ),
        (
            &day,
            "2026-11-29T12:00:00Z",
            "open since 2026-11-29T00:00:00Z; 2026-11-30T00:00:00Z",
        ),
        (
            &day,
            "2026-11-30T00:00:00Z",
            "opens 2026-12-06 00:00 UTC; 2026-12-06T00:00:00Z",
        ),
    ];
    for (calendar, now, expected) in table {
        assert_eq!(said(calendar, now), expected, "{now}");
    }
}

/// Berlin: 2026-03-29 has no 02:30, and 2026-10-25 has it twice.
#[test]
fn summer_time_moves_windows_and_loses_none() {
    let office = calendar("mon-fri", "09:00", "16:00", "Europe/Berlin");
    let early = calendar("sun", "02:30", "03:30", "Europe/Berlin");
    let table = [
        // The Friday before and the Monday after: the same clock, an hour apart in UTC.
        (
            &office,
            "2026-03-27T08:00:00Z",
            "open since 2026-03-27T08:00:00Z; 2026-03-27T15:00:00Z",
        ),
        (
            &office,
            "2026-03-27T15:00:00Z",
            "opens 2026-03-30 09:00 Europe/Berlin; 2026-03-30T07:00:00Z",
        ),
        // 02:30 is skipped: the window of 02:30 to 03:30 has no minute on that day.
        (
            &early,
            "2026-03-29T01:00:00Z",
            "opens 2026-04-05 02:30 Europe/Berlin; 2026-04-05T00:30:00Z",
        ),
        // 02:30 comes twice: the window is open for two hours.
        (
            &early,
            "2026-10-25T00:30:00Z",
            "open since 2026-10-25T00:30:00Z; 2026-10-25T02:30:00Z",
        ),
    ];
    for (calendar, now, expected) in table {
        assert_eq!(said(calendar, now), expected, "{now}");
    }
}

#[test]
fn a_freeze_goes_before_a_window_and_the_last_end_counts() {
    let frozen = |from, to, reason: &str| {
        let times = RawTimes {
            from,
            to,
            zone: Some("Europe/Berlin"),
        };
        freeze(&times, Some(reason.into())).unwrap()
    };
    let mut calendar = calendar("mon-fri", "09:00", "16:00", "Europe/Berlin");
    calendar.freezes = vec![
        frozen("2026-12-20", "2027-01-04", "holidays"),
        frozen("2026-12-31T12:00", "2026-12-31T13:00", "stock-taking"),
    ];
    let table = [
        (
            "2026-12-18T14:59:00Z",
            "open since 2026-12-18T08:00:00Z; 2026-12-18T15:00:00Z",
        ),
        (
            "2026-12-31T11:30:00Z",
            "frozen until 2027-01-03T23:00:00Z; 2026-12-31T12:00:00Z",
        ),
        (
            "2027-01-03T23:00:00Z",
            "opens 2027-01-04 09:00 Europe/Berlin; 2027-01-04T08:00:00Z",
        ),
    ];
    for (now, expected) in table {
        assert_eq!(said(&calendar, now), expected, "{now}");
    }
    calendar.windows.clear();
    assert_eq!(
        said(&calendar, "2027-01-05T00:00:00Z"),
        "open since 2027-01-03T23:00:00Z"
    );
    assert_eq!(said(&Calendar::default(), "2027-01-05T00:00:00Z"), "open");
}

#[test]
fn times_are_read_as_people_write_them() {
    let berlin = zone(Some("Europe/Berlin")).unwrap();
    for (text, expected) in [
        ("2026-12-20", "2026-12-19T23:00:00Z"),
        ("2026-07-20T08:00", "2026-07-20T06:00:00Z"),
        ("2026-12-20T08:00:00Z", "2026-12-20T08:00:00Z"),
        ("2026-12-20T08:00:00+05:30", "2026-12-20T02:30:00Z"),
        ("2026-12-20T08:00[America/New_York]", "2026-12-20T13:00:00Z"),
    ] {
        assert_eq!(moment(text, &berlin).unwrap(), at(expected), "{text}");
    }
    for wrong in ["", "tomorrow", "2026-13-01", "2026-12-01T08:00[Mars/Base]"] {
        let error = moment(wrong, &berlin).unwrap_err().0;
        assert!(error.contains("is not a time: write 2026-12-20"), "{error}");
    }
}

#[test]
fn what_is_no_window_is_refused_with_words() {
    let window_of = |days: &str, from: &str, to: &str, zone: &str| {
        let times = RawTimes {
            from,
            to,
            zone: Some(zone),
        };
        window(Some(days), &times).unwrap_err().0
    };
    for (error, expected) in [
        (
            window_of("mo-fr", "09:00", "16:00", "UTC"),
            "`mo-fr` is no day",
        ),
        (
            window_of("mon", "9 am", "16:00", "UTC"),
            "`9 am` is no time of day",
        ),
        (
            window_of("mon", "09:00", "25:00", "UTC"),
            "`25:00` is no time of day",
        ),
        (window_of("mon", "09:00", "09:00", "UTC"), "is empty"),
        (
            window_of("mon", "09:00", "16:00", "Europe/Berln"),
            "`Europe/Berln` is not a time zone",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(days("fri-mon").unwrap().len(), 4);
    assert_eq!(
        days("MON, wed").unwrap(),
        [Weekday::Monday, Weekday::Wednesday]
    );
}

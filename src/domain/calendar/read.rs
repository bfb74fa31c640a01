//! Windows, freezes and times as people write them.

use jiff::civil::{DateTime, Time, Weekday};
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::{Freeze, Window, ZONES};
use crate::domain::Invalid;

/// What has a beginning, an end and a time zone, as written.
pub struct RawTimes<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub zone: Option<&'a str>,
}

/// A time zone by its IANA name; UTC if there is none.
pub fn zone(name: Option<&str>) -> Result<TimeZone, Invalid> {
    match name {
        None => Ok(TimeZone::UTC),
        Some(name) => ZONES.get(name).map_err(|_| {
            Invalid(format!(
                "`{name}` is not a time zone: write an IANA name such as Europe/Berlin"
            ))
        }),
    }
}

pub fn window(days_text: Option<&str>, times: &RawTimes<'_>) -> Result<Window, Invalid> {
    let to_midnight = times.to == "24:00";
    let from = time(times.from)?;
    let to = match to_midnight {
        true => Time::midnight(),
        false => time(times.to)?,
    };
    if to == from && !to_midnight {
        return Err(Invalid(format!(
            "the window from {0} to {0} is empty: write 00:00 to 24:00 for a whole day",
            times.from
        )));
    }
    Ok(Window {
        days: days_text.map_or(Ok(Vec::new()), days)?,
        from,
        to,
        zone: zone(times.zone)?,
    })
}

pub fn freeze(times: &RawTimes<'_>, reason: Option<String>) -> Result<Freeze, Invalid> {
    let zone = zone(times.zone)?;
    let (from, until) = (moment(times.from, &zone)?, moment(times.to, &zone)?);
    if until <= from {
        return Err(Invalid(format!(
            "the freeze ends at {}, which is not after its beginning at {}",
            times.to, times.from
        )));
    }
    Ok(Freeze {
        from,
        until,
        zone,
        reason,
        by: None,
    })
}

/// A point in time: a date (its beginning), a local time, or one with an offset or a zone of its
/// own.
pub fn moment(text: &str, zone: &TimeZone) -> Result<Timestamp, Invalid> {
    let unclear = || {
        Invalid(format!(
            "`{text}` is not a time: write 2026-12-20, 2026-12-20T08:00, 2026-12-20T08:00:00Z or 2026-12-20T08:00[Europe/Berlin]"
        ))
    };
    let text = text.trim();
    if text.contains('[') {
        let zoned: Zoned = DateTimeParser::new()
            .parse_zoned_with(&ZONES, text)
            .map_err(|_| unclear())?;
        return Ok(zoned.timestamp());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let local: DateTime = text.parse().map_err(|_| unclear())?;
    zone.to_timestamp(local).map_err(|_| unclear())
}

/// `mon-fri`, `sat`, or a list of these with commas.
pub fn days(text: &str) -> Result<Vec<Weekday>, Invalid> {
    let unclear = |part: &str| {
        Invalid(format!(
            "`{part}` is no day: write mon, tue, wed, thu, fri, sat, sun, a range such as mon-fri, or a list with commas"
        ))
    };
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = match (weekday(first), weekday(last)) {
            (Some(first), Some(last)) => (first, last),
            _ => return Err(unclear(part)),
        };
        // `fri-mon` goes over the end of the week.
        found.push(day);
        while day != last {
            day = day.next();
            found.push(day);
        }
    }
    Ok(found)
}

fn weekday(text: &str) -> Option<Weekday> {
    let day = match text.trim().to_ascii_lowercase().as_str() {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return None,
    };
    Some(day)
}

fn time(text: &str) -> Result<Time, Invalid> {
    let format = match text.matches(':').count() {
        1 => "%H:%M",
        _ => "%H:%M:%S",
    };
    Time::strptime(format, text)
        .map_err(|_| Invalid(format!("`{text}` is no time of day: write 09:00")))
}

//! When a stage takes changes: windows of the week, and freezes.
//!
//! Time zones come from the database that is built in, so that every machine judges alike. A local
//! time that a change to summer time skips is taken as the same span after it; of one that happens
//! twice, the first counts.
//!
//! Rooms: `read` (from what people write).

use std::sync::LazyLock;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};

mod read;

pub use read::{RawTimes, freeze, moment, window};
#[cfg(test)]
use read::{days, zone};

/// The IANA time zone database that is built in.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time of the week in which a stage takes changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The days on which it opens; all days if empty.
    pub days: Vec<Weekday>,
    pub from: Time,
    /// The end, which is not part of it. Not after `from`: on the next day.
    pub to: Time,
    pub zone: TimeZone,
}

/// A time in which a stage takes no changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    pub from: Timestamp,
    /// The end, which is not part of it.
    pub until: Timestamp,
    /// The zone in which people are told the end.
    pub zone: TimeZone,
    pub reason: Option<String>,
    /// Who gave it by command; None: `windlass.yaml` has it.
    pub by: Option<String>,
}

/// The windows and freezes of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calendar {
    /// Empty: always.
    pub windows: Vec<Window>,
    pub freezes: Vec<Freeze>,
}

/// Whether a stage takes changes at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening<'a> {
    /// Since when, if a window or the end of a freeze says it.
    Open { since: Option<Timestamp> },
    /// The freeze that ends last.
    Frozen(&'a Freeze),
    /// Outside the windows. `opens`: when the next one does, and in which zone that is told.
    Outside {
        opens: Option<(Timestamp, &'a TimeZone)>,
    },
}

impl Calendar {
    pub fn at(&self, now: Timestamp) -> Opening<'_> {
        let frozen = self.freezes.iter().filter(|freeze| freeze.holds(now));
        if let Some(freeze) = frozen.max_by_key(|freeze| freeze.until) {
            return Opening::Frozen(freeze);
        }
        let thawed = self.freezes.iter().map(|freeze| freeze.until);
        let thawed = thawed.filter(|until| *until <= now).max();
        if self.windows.is_empty() {
            return Opening::Open { since: thawed };
        }
        let open = self.windows.iter().filter_map(|window| window.open(now));
        match open.map(|(start, _)| start).min() {
            Some(start) => Opening::Open {
                since: Some(thawed.map_or(start, |thawed| thawed.max(start))),
            },
            None => Opening::Outside {
                opens: self.opens(now),
            },
        }
    }

    /// When the next window opens.
    fn opens(&self, now: Timestamp) -> Option<(Timestamp, &TimeZone)> {
        let next = self.windows.iter().filter_map(|window| {
            let starts = window.around(now).map(|(start, _)| start);
            Some((starts.filter(|start| *start > now).min()?, &window.zone))
        });
        next.min_by_key(|(start, _)| *start)
    }

    /// The next time at which a window or a freeze begins or ends.
    pub fn changes(&self, now: Timestamp) -> Option<Timestamp> {
        let windows = self.windows.iter().flat_map(|window| window.around(now));
        let freezes = self
            .freezes
            .iter()
            .map(|freeze| (freeze.from, freeze.until));
        let bounds = windows.chain(freezes).flat_map(|(from, to)| [from, to]);
        bounds.filter(|at| *at > now).min()
    }
}

impl Window {
    /// Start and end of the window that is open.
    fn open(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        self.around(now)
            .filter(|(start, end)| *start <= now && now < *end)
            .min()
    }

    /// The windows that begin from yesterday until the same day of the next week.
    fn around(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = self.zone.to_datetime(now).date();
        (-1..=7).filter_map(move |days| self.on(today.checked_add(Span::new().days(days)).ok()?))
    }

    /// The window that begins on a day.
    fn on(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.days.is_empty() && !self.days.contains(&day.weekday()) {
            return None;
        }
        let last = match self.to > self.from {
            true => day,
            false => day.tomorrow().ok()?,
        };
        let at = |day: Date, time: Time| self.zone.to_timestamp(day.to_datetime(time)).ok();
        let (start, end) = (at(day, self.from)?, at(last, self.to)?);
        // A change to summer time may leave nothing of it.
        (start < end).then_some((start, end))
    }
}

impl Freeze {
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// A time as people are told it: `2026-12-01 08:00 Europe/Berlin`, with seconds if it has any.
pub fn words(at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    let format = match local.second() {
        0 => "%Y-%m-%d %H:%M",
        _ => "%Y-%m-%d %H:%M:%S",
    };
    let name = zone.iana_name().unwrap_or("UTC");
    format!("{} {name}", local.strftime(format))
}

#[cfg(test)]
mod tests;

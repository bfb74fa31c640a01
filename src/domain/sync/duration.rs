//! Durations as people write them.

use jiff::SignedDuration;

/// Reads a duration as people write it: `30m`, `2h`, `1d`.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let unit = text.chars().last()?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    (number > 0).then(|| SignedDuration::from_secs(number.saturating_mul(seconds).min(30 * 86_400)))
}

/// The same, written: `90s`, `30m`, `2h`.
pub fn duration_words(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_end_by_themselves() {
        assert_eq!(duration("2h"), Some(SignedDuration::from_secs(7200)));
        assert_eq!(
            duration("99999d"),
            Some(SignedDuration::from_secs(30 * 86_400))
        );
        for wrong in ["", "h", "-1h", "0m", "2 weeks", "1é"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}

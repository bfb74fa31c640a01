//! A pull request as people read it, with what differs from run to run made the same.

use super::World;

impl World {
    /// The conversation of a pull request as people read it, with what differs from run to run made
    /// the same.
    pub fn conversation(&self, number: u64) -> String {
        let pull = self.read(&format!("pulls/{number}"));
        let mut out = format!(
            "{} by {} ({})\n",
            pull["title"].as_str().unwrap_or_default(),
            pull["user"]["login"].as_str().unwrap_or_default(),
            if pull["merged"] == true {
                "merged"
            } else {
                pull["state"].as_str().unwrap_or_default()
            }
        );
        for comment in self.comments(number) {
            let eyes = if comment["reactions"]["eyes"].as_u64() > Some(0) {
                " 👀"
            } else {
                ""
            };
            out.push_str(&format!(
                "\n--- {}{eyes}\n{}\n",
                comment["user"]["login"].as_str().unwrap_or_default(),
                comment["body"].as_str().unwrap_or_default().trim()
            ));
        }
        self.scrub(&out)
    }

    /// Takes out commits, digests of plans, ids, durations and this world's prefix.
    pub fn scrub(&self, text: &str) -> String {
        let origin = self.forge.api_url().replace("/api/v3", "");
        let text = text
            .replace(&self.prefix, "")
            .replace(&origin, "https://forge");
        let mut out = String::new();
        let mut word = String::new();
        let flush = |word: &mut String, out: &mut String| {
            let hex = word.len() >= 12
                && word.bytes().all(|b| b.is_ascii_hexdigit())
                && !word.bytes().all(|b| b == word.as_bytes()[0]);
            let announced = word.len() == 12
                && (0..256).any(|n| word == &format!("{n:02x}").repeat(6))
                || word.len() == 64;
            out.push_str(if hex && !announced { "(hex)" } else { word });
            word.clear();
        };
        for c in text.chars() {
            if c.is_ascii_alphanumeric() {
                word.push(c);
            } else {
                flush(&mut word, &mut out);
                out.push(c);
            }
        }
        flush(&mut word, &mut out);
        let mut lines: Vec<String> = out
            .lines()
            .map(|line| line.trim_end().to_string())
            .collect();
        for line in &mut lines {
            if line.starts_with("<sub>head")
                && let (Some(start), Some(end)) = (line.find("` · "), line.find(" s · plan"))
            {
                line.replace_range(start + "` · ".len()..end, "(time)");
            }
            *line = without_times(line);
            // The seal is made with the App's key.
            if line.starts_with("<!-- windlass:sticky ") {
                *line = line.replace("(hex) (hex)", "(hex)");
            }
            for mark in ["<!-- windlass:reply ", "<!-- windlass:outcome "] {
                if line.starts_with(mark) && line.ends_with(" -->") {
                    *line = format!("{mark}(id) -->");
                }
            }
            if line.contains("plan `wl1:") {
                let start = line.find("wl1:").unwrap() + 4;
                let end = line[start..]
                    .find('`')
                    .map_or(line.len(), |end| start + end);
                line.replace_range(start..end, "(digest)");
            }
        }
        lines.join("\n")
    }
}

/// A line without its times, as `2026-11-27 20:12 UTC` or `2026-11-27 20:12:33 UTC`.
fn without_times(line: &str) -> String {
    let mut parts = line.split(" UTC");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let is_time = |start: &usize| out[*start..].starts_with("20");
        let starts = [16, 19].map(|length| out.len().checked_sub(length));
        let mut starts = starts.into_iter().flatten();
        let start = starts.find(|start| out.is_char_boundary(*start) && is_time(start));
        match start {
            Some(start) => out.replace_range(start.., "(time)"),
            None => out.push_str(" UTC"),
        }
        out.push_str(part);
    }
    out
}

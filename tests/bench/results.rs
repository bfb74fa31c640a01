//! The figures: printed, and each a line of `target/bench/results.jsonl`.

use std::io::Write as _;

use serde_json::json;

pub struct Results {
    lines: Vec<(String, f64, &'static str, String, bool)>,
    file: std::fs::File,
}

impl Results {
    pub fn new() -> Self {
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .unwrap()
            .join("bench");
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("results.jsonl"))
            .unwrap();
        Self {
            lines: vec![],
            file,
        }
    }

    pub fn add(&mut self, name: &str, value: f64, unit: &'static str, goal: &str, holds: bool) {
        let value = (value * 1000.0).round() / 1000.0;
        println!(
            "{name}: {value} {unit} (goal {goal}: {})",
            if holds { "holds" } else { "missed" }
        );
        writeln!(
            self.file,
            "{}",
            json!({"name": name, "value": value, "unit": unit, "goal": goal, "holds": holds})
        )
        .unwrap();
        self.lines
            .push((name.into(), value, unit, goal.into(), holds));
    }

    pub fn note(&mut self, name: &str, value: f64, unit: &'static str) {
        self.add(name, value, unit, "none, a raw number", true);
    }

    pub fn print(&self) {
        println!("\n| name | value | goal | |\n|---|---|---|---|");
        for (name, value, unit, goal, holds) in &self.lines {
            println!(
                "| {name} | {value} {unit} | {goal} | {} |",
                if *holds { "held" } else { "**missed**" }
            );
        }
    }
}

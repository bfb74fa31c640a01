//! The gate that counts writes, and kills windlass at one of them.

use std::sync::Mutex;

use windlass::sandbox::forge::WriteGate;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Received,
    Lost,
}

/// A write of a part of the story, by its number there (from 1), and whether windlass got its answer.
pub type Point = (u64, Answer);

/// Counts the writes of one part of the story after the other; kills at one write of each.
pub struct Gate {
    part: Mutex<Part>,
    kill: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Part {
    /// Where it kills; None once it has.
    at: Option<Point>,
    writes: Vec<String>,
}

impl Gate {
    pub fn new(kill: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            part: Mutex::default(),
            kill: Box::new(kill),
        }
    }

    /// The next part begins; it kills at this write of it.
    pub fn enter(&self, at: Option<Point>) {
        let writes = Vec::new();
        *self.part.lock().unwrap() = Part { at, writes };
    }

    /// What the part has written so far.
    pub fn writes(&self) -> Vec<String> {
        self.part.lock().unwrap().writes.clone()
    }

    /// Kills, if the part had no write after the one to kill at. Whether it did.
    pub fn kill_at_the_end(&self) -> bool {
        let missed = self.part.lock().unwrap().at.take().is_some();
        if missed {
            (self.kill)();
        }
        missed
    }

    fn kill_at(&self, part: &mut Part, point: Point) -> bool {
        let here = part.at == Some(point);
        if here {
            part.at = None;
            (self.kill)();
        }
        here
    }
}

impl WriteGate for Gate {
    fn begin(&self, what: &str) -> Option<u64> {
        let mut part = self.part.lock().unwrap();
        let before = part.writes.len() as u64;
        part.writes.push(what.to_string());
        (!self.kill_at(&mut part, (before, Answer::Received))).then_some(before + 1)
    }

    fn end(&self, number: u64) -> bool {
        let mut part = self.part.lock().unwrap();
        !self.kill_at(&mut part, (number, Answer::Lost))
    }
}

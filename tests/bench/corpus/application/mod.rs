//! A generated application: what it has, and the changes that it is drawn for.
//!
//! - `classes`: the changes by what they run into; `manifests`: the application as files

mod classes;
mod manifests;

pub use self::classes::{CLASSES, Class, TOOLS};

/// The same numbers in each run (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

/// What one application has: each field is a thing that a change may move.
#[derive(Clone)]
pub struct Application {
    pub name: String,
    pub stateful: bool,
    pub how: usize,
    pub image: usize,
    pub replicas: usize,
    pub env: Vec<(usize, usize)>,
    pub ports: Vec<usize>,
    pub cpu: usize,
    pub probe: bool,
    pub explicit: bool,
    pub config: Vec<(usize, usize)>,
    pub secret: Vec<(usize, usize)>,
    pub labels: Vec<usize>,
    pub status: bool,
    pub extra: bool,
    /// The definition's and its object's generation; 0: there is none.
    pub custom: usize,
    pub rules: usize,
    pub job: usize,
    /// Names the change of the Job that it may be recreated for.
    pub permission: String,
    pub role: usize,
    pub hpa: usize,
    pub ingress: usize,
    pub cron: bool,
    pub namespace: usize,
    pub adopted: usize,
    /// Recreate, or OnDelete, instead of the server's default.
    pub strategy: bool,
    /// Which kinds of volume and probe are chosen; 0: none.
    pub handler: usize,
    /// What each tool left and Git has now, with its number.
    pub left: Vec<(&'static str, usize)>,
    pub renamed: usize,
    pub hashed: usize,
    pub fails: bool,
    pub aggregated: usize,
    pub last: bool,
    pub kept: usize,
}

const CPU: [&str; 5] = ["10m", "0.01", "20m", "0.020", "15m"];

impl Application {
    pub fn new(number: usize, dice: &mut Dice) -> Self {
        let pairs = |dice: &mut Dice, most: usize| {
            (0..1 + dice.roll(most))
                .map(|n| (n, dice.roll(100)))
                .collect::<Vec<_>>()
        };
        Self {
            name: format!("c{number:03}"),
            stateful: dice.roll(4) == 0,
            how: dice.roll(3),
            image: dice.roll(5),
            replicas: dice.roll(2),
            env: pairs(dice, 4),
            ports: vec![80],
            cpu: dice.roll(CPU.len()),
            probe: dice.roll(2) == 0,
            explicit: false,
            config: pairs(dice, 4),
            secret: pairs(dice, 3),
            labels: vec![],
            status: false,
            extra: dice.roll(2) == 0,
            custom: 0,
            rules: 1,
            job: 1,
            permission: String::new(),
            role: dice.roll(2),
            hpa: 0,
            ingress: dice.roll(2),
            cron: dice.roll(4) == 0,
            namespace: 0,
            adopted: 0,
            strategy: false,
            handler: 0,
            left: vec![],
            renamed: 1,
            hashed: 1,
            fails: false,
            aggregated: 0,
            last: true,
            kept: 1,
        }
    }

    /// A change of a class.
    pub fn change(&mut self, class: Class, dice: &mut Dice) {
        match class {
            Class::Image => self.image += 1,
            Class::Quantity => self.cpu = (self.cpu + 1 + dice.roll(CPU.len() - 1)) % CPU.len(),
            Class::ListItem if self.env.len() > 3 => drop(self.env.remove(dice.roll(3))),
            Class::ListItem => self
                .env
                .push((100 + self.env.len() + dice.roll(900), dice.roll(100))),
            Class::PortWithoutProtocol if self.ports.len() > 2 => drop(self.ports.pop()),
            Class::PortWithoutProtocol => self.ports.push(8000 + self.ports.len()),
            Class::StringData => self.secret.iter_mut().for_each(|(_, value)| *value += 1),
            Class::ClientSideResidue => self.adopted += 1,
            Class::Immutable => self.job += 1,
            Class::RemovedField => self.probe = !self.probe,
            Class::Status => self.status = !self.status,
            Class::Prune => self.extra = !self.extra,
            Class::DefinitionWithObject => self.custom += 1,
            Class::AtomicList => self.rules = 1 + (self.rules + 1 + dice.roll(2)) % 4,
            // Somebody else moves it; here only the image changes beside.
            Class::Autoscaler | Class::ScaledByOthers | Class::OthersEntries => self.image += 1,
            Class::NamespaceWithObject => self.namespace += 1,
            Class::Defaults => self.explicit = !self.explicit,
            Class::Rbac => self.role += 1,
            Class::HorizontalPodAutoscaler => self.hpa += 1,
            Class::Label => self.labels.push(self.labels.len()),
            Class::Ingress => self.ingress += 1,
            Class::Strategy => self.strategy = !self.strategy,
            Class::Handler => self.handler += 1,
            Class::LeftByCreate | Class::LeftByHelm | Class::LeftByArgoCd | Class::LeftByFlux => {
                let tool = TOOLS.iter().find(|(of, ..)| *of == class).unwrap().1;
                self.left.push((tool, self.left.len()));
            }
            Class::Rename => self.renamed += 1,
            Class::HashedConfigThatFails => {
                self.hashed += 1;
                self.fails = true;
            }
            Class::AggregatedRole => self.aggregated += 1,
            Class::Finalizer => self.last = !self.last,
            Class::KeptByMark => self.kept += 1,
        }
    }
}

//! What a token may not, as it is written on the command line or in a file.

use std::{fs::File, io::Read as _, path::PathBuf, time::Duration};

use clap::Args;

use super::failure::Failure;
use crate::{
    objects,
    policy::{
        Mode, PolicyName,
        document::{
            CapPart, LimitsPart, MethodsPart, MonthlyPart, PathsPart, PolicyDocument,
            ProtectedPart, Rate, ResourcesPart,
        },
        policies::Policies,
    },
    settings::parse_duration,
    tenants::record::member,
};

/// The policies of a token. Each is enforced, unless `--shadow` or `--off` names it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Policies")]
pub struct PolicyArgs {
    /// Read policies from a file of JSON; what is given besides stands in the place of its parts
    #[arg(long, value_name = "PATH")]
    pub policies: Option<PathBuf>,
    /// Permit these methods alone; GET stands for HEAD too
    #[arg(long = "method", value_name = "METHOD", value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Permit these paths alone, such as /virtual_machines/**
    #[arg(long = "path", value_name = "PATTERN", value_delimiter = ',')]
    pub paths: Vec<String>,
    /// Refuse these paths
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub deny_path: Vec<String>,
    /// Permit what lies at or below these items alone, such as /virtual_machines/12; no lists
    #[arg(long = "resource", value_name = "ITEM", value_delimiter = ',')]
    pub resources: Vec<String>,
    /// Never remove or rebuild these items
    #[arg(long, value_name = "ITEM", value_delimiter = ',')]
    pub protect: Vec<String>,
    /// Make at most so many items in a time, such as 5/24h
    #[arg(long, value_name = "NUMBER/TIME", value_parser = cap)]
    pub creates: Option<CapPart>,
    /// Remove at most so many items in a time, such as 2/1h
    #[arg(long, value_name = "NUMBER/TIME", value_parser = cap)]
    pub deletes: Option<CapPart>,
    /// Reads of this token alone, a second and at once, such as 5/10
    #[arg(long, value_name = "RATE/BURST", value_parser = rate)]
    pub reads: Option<Rate>,
    /// Writes of this token alone, a second and at once
    #[arg(long, value_name = "RATE/BURST", value_parser = rate)]
    pub writes: Option<Rate>,
    /// Reads in a calendar month, in UTC
    #[arg(long, value_name = "NUMBER")]
    pub monthly_reads: Option<u64>,
    /// Writes in a calendar month, in UTC
    #[arg(long, value_name = "NUMBER")]
    pub monthly_writes: Option<u64>,
    /// Judge and count these policies, and refuse nothing by them: methods, paths, resources, protected,
    /// creates, deletes, limits, monthly
    #[arg(long, value_name = "POLICY", value_delimiter = ',', value_parser = part)]
    pub shadow: Vec<Part>,
    /// Keep these policies, and do not judge by them
    #[arg(long, value_name = "POLICY", value_delimiter = ',', value_parser = part)]
    pub off: Vec<Part>,
}

/// A part of the policies, by the name that it has in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One that is judged by itself.
    One(PolicyName),
    /// Both quotas of a month.
    Monthly,
}

/// Much more than all lists can have.
const FILE_MAX: u64 = 1 << 20;

impl PolicyArgs {
    /// The policies, once they are found to make sense.
    pub fn document(&self) -> Result<PolicyDocument, Failure> {
        let mut document = self.file()?;
        self.put_lists(&mut document);
        if self.creates.is_some() {
            document.creates = self.creates;
        }
        if self.deletes.is_some() {
            document.deletes = self.deletes;
        }
        if self.reads.is_some() || self.writes.is_some() {
            let (reads, writes) = (self.reads, self.writes);
            document.limits = Some(LimitsPart { reads, writes, ..LimitsPart::default() });
        }
        if self.monthly_reads.is_some() || self.monthly_writes.is_some() {
            let (reads, writes) = (self.monthly_reads, self.monthly_writes);
            document.monthly = Some(MonthlyPart { reads, writes, ..MonthlyPart::default() });
        }
        for (parts, mode) in [(&self.shadow, Mode::Shadow), (&self.off, Mode::Off)] {
            for part in parts {
                let there = set_mode(&mut document, *part, mode);
                there.ok_or_else(|| Failure::NoSuchPolicy(part.name()))?;
            }
        }
        Policies::compile(&document)?;
        Ok(document)
    }

    fn file(&self) -> Result<PolicyDocument, Failure> {
        let Some(path) = &self.policies else { return Ok(PolicyDocument::default()) };
        let unreadable = |source| Failure::Unreadable { path: path.clone(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(FILE_MAX).read_to_string(&mut text).map_err(unreadable)?;
        objects::from_json(text.as_bytes())
            .map_err(|source| Failure::PolicyFile { path: path.clone(), source })
    }

    fn put_lists(&self, document: &mut PolicyDocument) {
        if !self.methods.is_empty() {
            let only = self.methods.clone();
            document.methods = Some(MethodsPart { only, ..MethodsPart::default() });
        }
        if !self.paths.is_empty() || !self.deny_path.is_empty() {
            let (allow, deny) = (self.paths.clone(), self.deny_path.clone());
            document.paths = Some(PathsPart { allow, deny, ..PathsPart::default() });
        }
        if !self.resources.is_empty() {
            let only = self.resources.clone();
            document.resources = Some(ResourcesPart { only, ..ResourcesPart::default() });
        }
        if !self.protect.is_empty() {
            let items = self.protect.clone();
            document.protected = Some(ProtectedPart { items, ..ProtectedPart::default() });
        }
    }
}

impl Part {
    fn name(self) -> &'static str {
        use crate::vocabulary::Closed as _;
        match self {
            Self::One(name) => name.as_str(),
            Self::Monthly => MONTHLY,
        }
    }
}

const MONTHLY: &str = "monthly";

/// Sets the mode of a part, if it is there.
fn set_mode(document: &mut PolicyDocument, part: Part, mode: Mode) -> Option<()> {
    let place = match part {
        Part::One(PolicyName::Methods) => &mut document.methods.as_mut()?.mode,
        Part::One(PolicyName::Paths) => &mut document.paths.as_mut()?.mode,
        Part::One(PolicyName::Resources) => &mut document.resources.as_mut()?.mode,
        Part::One(PolicyName::Protected) => &mut document.protected.as_mut()?.mode,
        Part::One(PolicyName::Creates) => &mut document.creates.as_mut()?.mode,
        Part::One(PolicyName::Deletes) => &mut document.deletes.as_mut()?.mode,
        Part::One(PolicyName::Limits) => &mut document.limits.as_mut()?.mode,
        Part::One(PolicyName::MonthlyReads | PolicyName::MonthlyWrites) | Part::Monthly => {
            &mut document.monthly.as_mut()?.mode
        }
    };
    *place = mode;
    Some(())
}

fn part(text: &str) -> Result<Part, &'static str> {
    let named = member(text)
        .filter(|name| !matches!(name, PolicyName::MonthlyReads | PolicyName::MonthlyWrites));
    let part = named.map(Part::One).or_else(|| (text == MONTHLY).then_some(Part::Monthly));
    part.ok_or("expected methods, paths, resources, protected, creates, deletes, limits or monthly")
}

fn cap(text: &str) -> Result<CapPart, &'static str> {
    let read = || {
        let (number, window) = text.split_once('/')?;
        let window: Duration = parse_duration(window)?;
        Some(CapPart {
            mode: Mode::Enforce,
            at_most: number.parse().ok()?,
            window_seconds: window.as_secs().try_into().ok()?,
        })
    };
    read().ok_or("expected a number in a time, such as 5/24h")
}

fn rate(text: &str) -> Result<Rate, &'static str> {
    let read = || {
        let (rate, burst) = text.split_once('/')?;
        Some(Rate { per_second: rate.parse().ok()?, burst: burst.parse().ok()? })
    };
    read().ok_or("expected requests a second and at once, such as 5/10")
}

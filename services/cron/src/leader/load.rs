//! A new leader: what is written down, and what the configuration says by now.

use std::collections::BTreeMap;
use std::time::Duration;

use gorgone_protocol::Moment;
use gorgone_protocol::request::state::Fence;
use gorgone_schedule::{Definition, JobId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::changes::Change;
use super::due::LATE;
use super::job::{Job, Run, RunKey, Source, Stage, rfc3339, spec};
use super::{Again, Leader, Rules};
use crate::stored::{
    At, Key, RunRecord, Setting, at_key, job_key, past_key, run_key, set_key, text,
};

/// Keys that one message drops at most.
const DROPS: usize = 1_000;

/// What was read of the state so far.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    jobs: BTreeMap<JobId, String>,
    settings: BTreeMap<JobId, Setting>,
    at: BTreeMap<JobId, At>,
    runs: BTreeMap<RunKey, RunRecord>,
}

impl Loaded {
    /// Takes a key and what stands under it.
    pub(crate) fn take(&mut self, key: &str, value: &str) {
        let taken = match Key::parse(key) {
            Some(Key::Job(id)) => self.jobs.insert(id, value.to_owned()).is_none(),
            Some(Key::Set(id)) => put(&mut self.settings, id, value),
            Some(Key::At(id)) => put(&mut self.at, id, value),
            Some(Key::Run(id, number)) => put(&mut self.runs, (id, number), value),
            None => false,
        };
        if !taken {
            tracing::error!(key, "what is kept there makes no sense; left alone");
        }
    }
}

fn put<K: Ord, V: DeserializeOwned>(map: &mut BTreeMap<K, V>, key: K, value: &str) -> bool {
    match serde_json::from_str(value) {
        Ok(value) => {
            map.insert(key, value);
            true
        }
        Err(_) => false,
    }
}

impl Leader {
    /// Goes on where the one before stopped.
    pub(crate) fn load(
        rules: Rules,
        fence: Fence,
        mut loaded: Loaded,
        files: &[Definition],
        now: Moment,
    ) -> Self {
        let mut leader = Self::new(rules, fence, now);
        for (id, definition) in std::mem::take(&mut loaded.jobs) {
            let value: Value = serde_json::from_str(&definition).unwrap_or_default();
            match Definition::parse(&value, &leader.rules.zones) {
                Ok(definition) if definition.id == id => {
                    leader.take_in(definition, Source::Added, &mut loaded);
                }
                Ok(_) => tracing::error!(job = %id, "is kept under a wrong name; it does not run"),
                Err(error) => {
                    tracing::error!(job = %id, %error, "cannot be understood; it does not run");
                }
            }
        }
        for definition in files {
            leader.take_in(definition.clone(), Source::File, &mut loaded);
        }
        leader.forget_the_rest(loaded);
        let ids: Vec<JobId> = leader.jobs.keys().cloned().collect();
        for id in ids {
            leader.mind_the_clock(&id);
            leader.go_on(&id);
            leader.plan(&id);
        }
        leader
    }

    fn take_in(&mut self, definition: Definition, source: Source, loaded: &mut Loaded) {
        let id = definition.id.clone();
        if self.jobs.contains_key(&id) {
            return clash(&id);
        }
        let mut job = Job::new(definition, source, self.now.unix());
        if let Some(setting) = loaded.settings.remove(&id) {
            if source == Source::File && setting.file == job.definition.suspend {
                job.setting = Some(setting);
            } else {
                self.drop_keys(vec![set_key(&id)]);
            }
        }
        let numbers = loaded.runs.range((id.clone(), 0)..=(id.clone(), u64::MAX));
        let numbers: Vec<RunKey> = numbers.map(|(key, _)| key.clone()).collect();
        for key in numbers {
            if let Some(record) = loaded.runs.remove(&key) {
                job.runs.insert(key.1, Run::from_record(record));
            }
        }
        let fresh = match loaded.at.remove(&id) {
            Some(at) => {
                let same = at.spec == spec(&job.definition);
                let cursor = job.at.cursor;
                job.at = at;
                if !same {
                    // When it was due by the old spec is nothing that was missed.
                    job.at.cursor = cursor;
                    job.at.spec = spec(&job.definition);
                }
                !same
            }
            None => true,
        };
        // A run says more than was kept of the job when it began.
        for (number, run) in &job.runs {
            job.at.count = job.at.count.max(*number);
            if !run.manual {
                job.at.cursor = job.at.cursor.max(run.scheduled);
            }
        }
        self.runs += job.runs.len();
        if fresh {
            self.changes.push(Change {
                put: vec![(at_key(&id), text(&job.at))],
                ..Change::default()
            });
        }
        self.jobs.insert(id, job);
    }

    /// What belongs to jobs that are gone from the configuration.
    fn forget_the_rest(&mut self, loaded: Loaded) {
        let mut keys: Vec<String> = loaded.settings.keys().map(set_key).collect();
        for (id, at) in &loaded.at {
            keys.push(at_key(id));
            keys.extend((0..u64::from(at.slots)).map(|slot| past_key(id, slot)));
        }
        keys.extend(loaded.runs.keys().map(|(id, number)| run_key(id, *number)));
        self.drop_keys(keys);
    }

    pub(super) fn drop_keys(&mut self, keys: Vec<String>) {
        for keys in keys.chunks(DROPS) {
            self.changes.push(Change {
                drop: keys.to_vec(),
                ..Change::default()
            });
        }
    }

    /// Goes on with the runs of a job that the leader before did not see ended.
    fn go_on(&mut self, id: &JobId) {
        let now = self.now;
        let Some(job) = self.jobs.get(id) else {
            return;
        };
        let mut again = Vec::new();
        let mut asked = Vec::new();
        for (number, run) in &job.runs {
            let key = (id.clone(), *number);
            match run.stage {
                Stage::Queued => {}
                Stage::Again(until) => {
                    let left = u64::try_from(until - now.unix_ms).unwrap_or(0);
                    let longest = job.definition.retry_backoff.max;
                    again.push((key, Duration::from_millis(left).min(longest)));
                }
                Stage::Written | Stage::Asked | Stage::Sought | Stage::Underway => {
                    // What was decided a moment ago core certainly remembers, if it has it.
                    let age = (now.unix_ms - run.since_ms).abs();
                    asked.push((key, age < LATE * 1000));
                }
            }
        }
        for (key, wait) in again {
            self.wait_to_begin_again(&key, wait);
        }
        for (key, fresh) in asked {
            if fresh {
                self.line_up(key);
            } else {
                self.pause(Duration::ZERO, Again::Follow(key.clone()));
                self.pause(Duration::ZERO, Again::Cancel(key));
            }
        }
        self.next_in_line(id);
    }

    /// Follows the configuration, which was read again.
    pub(crate) fn configured(&mut self, files: &[Definition], now: Moment) {
        self.now = now;
        let gone: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| job.source == Source::File)
            .map(|job| job.id().clone())
            .filter(|id| !files.iter().any(|definition| definition.id == *id))
            .collect();
        for id in gone {
            tracing::info!(job = %id, "is gone from the configuration");
            self.forget(&id);
        }
        for definition in files {
            let id = definition.id.clone();
            match self.jobs.get_mut(&id) {
                Some(job) if job.source == Source::Added => clash(&id),
                Some(job) if job.definition == *definition => {}
                Some(job) => {
                    let setting = job.setting.filter(|set| set.file == definition.suspend);
                    let dropped = job.setting.is_some() && setting.is_none();
                    tracing::info!(job = %id, "has changed in the configuration");
                    self.change(&id, definition.clone(), setting);
                    if dropped {
                        self.drop_keys(vec![set_key(&id)]);
                    }
                }
                None => {
                    tracing::info!(job = %id, "is new in the configuration");
                    self.add(definition.clone(), Source::File);
                }
            }
        }
    }

    /// A job that was not there before. Nothing before now is due.
    pub(super) fn add(&mut self, definition: Definition, source: Source) {
        let job = Job::new(definition, source, self.now.unix());
        let id = job.id().clone();
        let mut put = vec![(at_key(&id), text(&job.at))];
        if source == Source::Added {
            put.push((job_key(&id), text(&job.definition.to_json())));
        }
        self.changes.push(Change {
            put,
            ..Change::default()
        });
        self.jobs.insert(id.clone(), job);
        self.plan(&id);
    }

    /// A job gets another definition. Where it is due at other times nothing is missed; where it
    /// has rested, what was due meanwhile is told.
    pub(super) fn change(&mut self, id: &JobId, definition: Definition, setting: Option<Setting>) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        let rested = job.rests();
        let shrinks = definition.keep_runs < job.definition.keep_runs;
        job.definition = definition;
        job.setting = setting;
        let spec = spec(&job.definition);
        let other_times = job.at.spec != spec;
        let mut rest = None;
        if other_times {
            job.at.spec = spec;
            job.at.cursor = now.unix();
        } else if rested && !job.rests() {
            let horizon = job.horizon(self.rules.node, now.unix_ms);
            let first = job.definition.next(job.at.cursor);
            rest = first
                .filter(|first| *first <= horizon)
                .map(|first| (first, horizon + 1));
            job.at.cursor = job.at.cursor.max(horizon);
        }
        let slots = u64::from(job.definition.keep_runs);
        let surplus: Vec<String> = (slots..u64::from(job.at.slots))
            .filter(|_| shrinks)
            .map(|slot| past_key(id, slot))
            .collect();
        if shrinks {
            job.at.slots = job.at.slots.min(job.definition.keep_runs);
        }
        let mut put = vec![(at_key(id), text(&job.at))];
        if job.source == Source::Added {
            put.push((job_key(id), text(&job.definition.to_json())));
        }
        self.changes.push(Change {
            put,
            ..Change::default()
        });
        self.drop_keys(surplus);
        if let Some(instants) = rest {
            let words = format!("it rested until {}", rfc3339(now.unix()));
            self.skip_all(id, instants, "suspended", &words);
        }
        self.plan(id);
    }

    /// A job is gone. Runs of it that are under way go on, and nobody asks for their end.
    pub(super) fn forget(&mut self, id: &JobId) {
        let waiting: Vec<RunKey> = self.jobs.get(id).map_or_else(Vec::new, |job| {
            let waits = |run: &Run| matches!(run.stage, Stage::Queued | Stage::Again(_));
            let waiting = job.runs.iter().filter(|(_, run)| waits(run));
            waiting.map(|(number, _)| (id.clone(), *number)).collect()
        });
        for key in waiting {
            self.not_begun(&key, "deleted", "the job is gone");
        }
        let Some(job) = self.jobs.remove(id) else {
            return;
        };
        if let Some(at) = job.wake {
            self.calendar.remove(&(at, id.clone()));
        }
        self.runs -= job.runs.len();
        let mut keys = vec![job_key(id), set_key(id), at_key(id)];
        keys.extend(job.runs.keys().map(|number| run_key(id, *number)));
        keys.extend((0..u64::from(job.at.slots)).map(|slot| past_key(id, slot)));
        self.drop_keys(keys);
    }
}

fn clash(id: &JobId) {
    tracing::error!(
        job = %id,
        "a job of this id was added at run time, so the one of the configuration does not run; \
         delete the other one (DELETECRON), or give this one another id"
    );
}

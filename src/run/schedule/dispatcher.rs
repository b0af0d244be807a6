//! Gives the free slots of engines to the jobs that wait for one. This module sends no requests and knows no time.

use std::collections::VecDeque;

use super::scheduled::{JobNumber, Place};

/// The free slots of all engines, and the jobs that wait for a slot. A job whose engine is busy does not wait if an equal
/// engine is idle.
#[derive(Debug)]
pub(in crate::run) struct Dispatcher {
    engines: Vec<EngineSlots>,
    /// The job that waits longest comes first.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct EngineSlots {
    free: u16,
    trust: Trust,
}

/// Whether an engine gets jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Trusted,
    /// A job lost its connection to the engine, and polyarch asks the engine for a sign of life. The number of such
    /// questions.
    Suspected(usize),
    /// The engine gave no sign of life. It gets only the jobs that no other engine may do.
    Lost,
}

#[derive(Debug)]
struct Waiting {
    job: JobNumber,
    /// The engines that may do the job, as in [`super::scheduled::ScheduledBuild::places`].
    places: Vec<Place>,
}

impl Dispatcher {
    /// The engines of a run, with the number of builds that each runs at once.
    pub(in crate::run) fn new(slots: impl Iterator<Item = u16>) -> Self {
        let engines = slots.map(|free| EngineSlots { free, trust: Trust::Trusted }).collect();
        Self { engines, waiting: VecDeque::new() }
    }

    /// Adds a job that is ready. It waits behind all others.
    pub(in crate::run) fn wait(&mut self, job: JobNumber, places: Vec<Place>) {
        self.waiting.push_back(Waiting { job, places });
    }

    /// Adds a job that lost its engine. It has waited before, so it waits in front of all others.
    pub(in crate::run) fn wait_again(&mut self, job: JobNumber, places: Vec<Place>) {
        self.waiting.push_front(Waiting { job, places });
    }

    /// Takes the waiting jobs for which `is_over` holds. They get no slot.
    pub(in crate::run) fn take_waiting(&mut self, is_over: impl Fn(JobNumber) -> bool) -> Vec<JobNumber> {
        let (over, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|one| is_over(one.job));
        self.waiting = waiting;
        VecDeque::into_iter(over).map(|one| one.job).collect()
    }

    /// The next job, with the engine that does it. The job takes a slot of that engine. `None` if every waiting job
    /// still waits.
    ///
    /// A slot goes to the first job that prefers the engine. If there is none, the slot goes to the first job that the
    /// engine may do.
    pub(in crate::run) fn next(&mut self) -> Option<(JobNumber, Place)> {
        let (number, place) = self.find(1).or_else(|| self.find(usize::MAX))?;
        self.engines[place.engine].free -= 1;
        self.waiting.remove(number).map(|one| (one.job, place))
    }

    /// The first waiting job with a free slot among its first `most` engines.
    fn find(&self, most: usize) -> Option<(usize, Place)> {
        let is_free = |place: &Place| {
            let engine = &self.engines[place.engine];
            engine.free > 0 && !matches!(engine.trust, Trust::Suspected(_))
        };
        let place = |one: &Waiting| self.best(&one.places).take(most).find(is_free);
        self.waiting.iter().enumerate().find_map(|(number, one)| Some((number, place(one)?)))
    }

    /// The best engines among `places` that are not lost: all native ones, or else all others. If all are lost, the
    /// best of them: a lost engine may come back.
    ///
    /// Only the first pod of an entry counts, so an image stays at the pod that has its cache.
    fn best<'a>(&'a self, places: &'a [Place]) -> impl Iterator<Item = Place> + 'a {
        let is_lost = |place: &Place| self.engines[place.engine].trust == Trust::Lost;
        let all_lost = places.iter().all(is_lost);
        let left = move |place: &&Place| all_lost || !is_lost(place);
        let execution = places.iter().find(left).map(|place| place.execution);
        let best = move |place: &&Place| left(place) && Some(place.execution) == execution;
        let is_first =
            move |place: &&Place| places.iter().filter(best).find(|one| one.entry == place.entry) == Some(*place);
        places.iter().filter(best).filter(is_first).copied()
    }

    /// Notes that a job left its slot of `engine`.
    pub(in crate::run) fn free(&mut self, engine: usize) {
        self.engines[engine].free += 1;
    }

    /// Gives no job to `engine` until polyarch knows whether it is lost.
    pub(in crate::run) fn suspect(&mut self, engine: usize) {
        let trust = &mut self.engines[engine].trust;
        *trust = match *trust {
            Trust::Trusted => Trust::Suspected(1),
            Trust::Suspected(questions) => Trust::Suspected(questions + 1),
            Trust::Lost => Trust::Lost,
        };
    }

    /// Notes that `engine` gave a sign of life.
    pub(in crate::run) fn trust(&mut self, engine: usize) {
        let trust = &mut self.engines[engine].trust;
        *trust = match *trust {
            Trust::Trusted | Trust::Suspected(..=1) => Trust::Trusted,
            Trust::Suspected(questions) => Trust::Suspected(questions - 1),
            Trust::Lost => Trust::Lost,
        };
    }

    /// Notes that `engine` is lost. Returns whether this is new.
    pub(in crate::run) fn lose(&mut self, engine: usize) -> bool {
        std::mem::replace(&mut self.engines[engine].trust, Trust::Lost) != Trust::Lost
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BinaryHeap};

    use proptest::prelude::*;

    use super::*;
    use crate::random::{Node, rendezvous};
    use crate::run::event::Execution;

    fn native(engines: &[usize]) -> Vec<Place> {
        engines.iter().map(|engine| Place { engine: *engine, entry: *engine, execution: Execution::Native }).collect()
    }

    fn emulated(engine: usize) -> Place {
        Place { engine, entry: engine, execution: Execution::Emulated }
    }

    /// All jobs that get a slot now, with their engines.
    fn dispatched(dispatcher: &mut Dispatcher) -> Vec<(usize, usize)> {
        std::iter::from_fn(|| dispatcher.next()).map(|(job, place)| (job.0, place.engine)).collect()
    }

    #[test]
    fn job_gets_its_preferred_engine_or_an_idle_one() {
        let mut dispatcher = Dispatcher::new([1, 1].into_iter());
        for (job, engines) in [[0, 1], [0, 1], [1, 0]].iter().enumerate() {
            dispatcher.wait(JobNumber(job), native(engines));
        }
        // Job 2 prefers engine 1, so job 1 does not take it, although job 1 waits longer.
        assert_eq!(dispatched(&mut dispatcher), [(0, 0), (2, 1)]);
        dispatcher.free(1);
        assert_eq!(dispatched(&mut dispatcher), [(1, 1)]);
    }

    #[test]
    fn native_engine_is_awaited_rather_than_emulated() {
        let mut dispatcher = Dispatcher::new([1, 4].into_iter());
        let places = || [native(&[0]), vec![emulated(1)]].concat();
        dispatcher.wait(JobNumber(0), places());
        dispatcher.wait(JobNumber(1), places());
        assert_eq!(dispatched(&mut dispatcher), [(0, 0)]);
        assert!(dispatcher.lose(0) && !dispatcher.lose(0));
        assert_eq!(dispatched(&mut dispatcher), [(1, 1)]);
    }

    #[test]
    fn image_waits_for_its_pod_unless_the_pod_is_lost() {
        let mut dispatcher = Dispatcher::new([1, 1, 1].into_iter());
        let places = || {
            let mut places = native(&[0, 1, 2]);
            places[1].entry = 0;
            places
        };
        for job in 0..3 {
            dispatcher.wait(JobNumber(job), places());
        }
        // Engine 2 is an entry of its own. Pod 1 stays idle.
        assert_eq!(dispatched(&mut dispatcher), [(0, 0), (1, 2)]);
        dispatcher.lose(0);
        assert_eq!(dispatched(&mut dispatcher), [(2, 1)]);
    }

    #[test]
    fn suspected_engine_gets_jobs_again_after_every_sign_of_life() {
        let mut dispatcher = Dispatcher::new([2].into_iter());
        dispatcher.wait(JobNumber(0), native(&[0]));
        dispatcher.suspect(0);
        dispatcher.suspect(0);
        assert_eq!(dispatched(&mut dispatcher), []);
        dispatcher.trust(0);
        assert_eq!(dispatched(&mut dispatcher), []);
        dispatcher.trust(0);
        assert_eq!(dispatched(&mut dispatcher), [(0, 0)]);
    }

    #[test]
    fn lost_engine_gets_only_jobs_without_another_engine() {
        let mut dispatcher = Dispatcher::new([2, 1].into_iter());
        dispatcher.lose(0);
        dispatcher.wait(JobNumber(0), native(&[0, 1]));
        dispatcher.wait(JobNumber(1), native(&[0, 1]));
        dispatcher.wait(JobNumber(2), native(&[0]));
        assert_eq!(dispatched(&mut dispatcher), [(0, 1), (2, 0)]);
        assert_eq!(dispatcher.take_waiting(|job| job.0 == 1), [JobNumber(1)]);
        dispatcher.free(1);
        assert_eq!(dispatched(&mut dispatcher), []);
    }

    /// The time at which the last job ends, with a clock that jumps from event to event. `jobs` has the engines and the
    /// duration of each job.
    fn makespan(slots: &[u16], jobs: &[(Vec<Place>, u64)]) -> u64 {
        let mut dispatcher = Dispatcher::new(slots.iter().copied());
        for (number, (places, _)) in jobs.iter().enumerate() {
            dispatcher.wait(JobNumber(number), places.clone());
        }
        let (mut now, mut running) = (0, BinaryHeap::new());
        loop {
            for (job, engine) in dispatched(&mut dispatcher) {
                running.push(std::cmp::Reverse((now + jobs[job].1, engine)));
            }
            let Some(std::cmp::Reverse((end, engine))) = running.pop() else { return now };
            now = end;
            dispatcher.free(engine);
        }
    }

    #[test]
    fn hundred_images_take_little_longer_than_the_ideal_time() {
        let (slots, names) = ([4, 4, 4], ["x86-1", "x86-2"]);
        let jobs = |seconds: fn(usize) -> u64| -> Vec<_> {
            let nodes = names.map(|name| Node { name, weight: 4 });
            (0..100)
                .flat_map(|image| {
                    let x86 = native(&rendezvous(&format!("image-{image}"), &nodes));
                    [(x86, seconds(image)), (native(&[2]), seconds(image))]
                })
                .collect()
        };
        // 100 jobs of arm64 on 4 slots are the longest part.
        let (equal, ideal) = (makespan(&slots, &jobs(|_| 10)), 250);
        assert!(equal * 9 <= ideal * 10, "{equal} of {ideal}");
        // With another engine of arm64, both platforms take as long.
        let balanced: Vec<_> = jobs(|_| 10)
            .into_iter()
            .map(|(places, seconds)| if places[0].engine == 2 { (native(&[2, 3]), seconds) } else { (places, seconds) })
            .collect();
        let (shared, ideal) = (makespan(&[4; 4], &balanced), 130);
        assert!(shared * 9 <= ideal * 10, "{shared} of {ideal}");
        // Jobs of different lengths on two engines: 1, 2 … 10 seconds.
        let unequal: Vec<_> =
            jobs(|image| 1 + image as u64 % 10).into_iter().filter(|(places, _)| places.len() == 2).collect();
        let (took, ideal) = (makespan(&[4, 4], &unequal), unequal.iter().map(|(_, seconds)| seconds).sum::<u64>() / 8);
        assert!(took * 9 <= ideal * 10, "{took} of {ideal}");
    }

    /// A step of a run, with numbers that are reduced to existing jobs and engines.
    #[derive(Debug, Clone)]
    enum Act {
        Wait(Vec<usize>),
        Free(usize),
        Suspect(usize),
        Trust(usize),
        Lose(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            4 => prop::collection::vec(0..4_usize, 1..4).prop_map(Act::Wait),
            4 => (0..100_usize).prop_map(Act::Free),
            1 => (0..4_usize).prop_map(Act::Suspect),
            1 => (0..4_usize).prop_map(Act::Trust),
            1 => (0..4_usize).prop_map(Act::Lose),
        ];
        prop::collection::vec(act, 0..60)
    }

    proptest! {
        #[test]
        fn no_slot_is_exceeded_and_no_job_waits_beside_a_free_slot(
            slots in prop::collection::vec(1..4_u16, 4),
            acts in acts(),
        ) {
            let mut dispatcher = Dispatcher::new(slots.iter().copied());
            let (mut jobs, mut waiting, mut running) = (0, BTreeMap::new(), Vec::new());
            for act in acts {
                match act {
                    Act::Wait(engines) => {
                        dispatcher.wait(JobNumber(jobs), native(&engines));
                        waiting.insert(jobs, engines);
                        jobs += 1;
                    }
                    Act::Free(number) if !running.is_empty() => {
                        let number = number % running.len();
                        let (_, engine) = running.swap_remove(number);
                        dispatcher.free(engine);
                    }
                    Act::Free(_) => {}
                    Act::Suspect(engine) => dispatcher.suspect(engine),
                    Act::Trust(engine) => dispatcher.trust(engine),
                    Act::Lose(engine) => {
                        dispatcher.lose(engine);
                    }
                }
                for (job, engine) in dispatched(&mut dispatcher) {
                    let engines = waiting.remove(&job);
                    prop_assert!(engines.is_some_and(|engines| engines.contains(&engine)), "{job} was dispatched twice");
                    running.push((job, engine));
                }
                for (engine, slots) in slots.iter().enumerate() {
                    let used = running.iter().filter(|(_, on)| *on == engine).count();
                    prop_assert!(used <= usize::from(*slots), "{used} of {slots} on {engine}");
                    let is_idle = used < usize::from(*slots) && dispatcher.engines[engine].trust == Trust::Trusted;
                    prop_assert!(!is_idle || waiting.values().all(|engines| !engines.contains(&engine)));
                }
            }
            // In the end every job gets a slot.
            for engine in 0..4 {
                dispatcher.lose(engine);
            }
            while jobs > 0 && !(waiting.is_empty() && running.is_empty()) {
                running.drain(..).for_each(|(_, engine)| dispatcher.free(engine));
                for (job, engine) in dispatched(&mut dispatcher) {
                    prop_assert!(waiting.remove(&job).is_some());
                    running.push((job, engine));
                }
            }
        }
    }
}

//! Memory for what is made of a body, beside its bytes.

use reasonedit_resilience::{MemoryBudget, MemoryPermit, NoMemory, tree_bytes};

use crate::problem::{Problem, ProblemKind, Result};

/// What may be made of any document uncounted: some hundreds of values.
const ALWAYS: u64 = 256 << 10;
/// What may be made of a document whose memory nobody counts, beyond its length.
const ALONE: u64 = 16 << 20;

/// What is told where there is none of the memory that bodies and fetched files share.
pub(crate) fn no_room(_: NoMemory) -> Problem {
    Problem::new(
        ProblemKind::Overloaded,
        "Too many large requests at a time; try again in a moment (server.limits.bodies_in_memory_bytes, \
         caller_percent).",
    )
}

/// Room for what is made of a body.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    /// Where more is taken from, if there is any.
    memory: Option<&'a MemoryBudget>,
    /// Bytes that are there.
    had: u64,
    /// The most that there can be.
    most: u64,
    /// Bytes of what was weighed so far.
    weight: u64,
    taken: Option<MemoryPermit>,
}

impl<'a> Room<'a> {
    /// Of a body of so many bytes, which count twice: as they are, and for what is made of them. What is more
    /// is taken from this memory.
    pub(crate) fn of(memory: &'a MemoryBudget, bytes: usize) -> Self {
        let had = bytes as u64;
        let most = memory.capacity().saturating_sub(had).max(ALWAYS);
        Self { memory: Some(memory), had: had.max(ALWAYS), most, weight: 0, taken: None }
    }

    /// Of a document of so many bytes that are not counted.
    pub(crate) fn alone(bytes: usize) -> Self {
        let most = bytes as u64 + ALONE;
        Self { memory: None, had: most, most, weight: 0, taken: None }
    }

    /// Makes room for the tree of a JSON document, beside what was weighed before.
    ///
    /// # Errors
    /// 413 where it is larger than all the memory that there is, 503 when there is no room now.
    pub(crate) fn weigh(&mut self, json: &[u8]) -> Result<()> {
        self.weight = self.weight.saturating_add(tree_bytes(json));
        if self.weight > self.most {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                "What would be made of the body takes more memory than all bodies may; send fewer values, lists and objects at a \
                 time (server.limits.bodies_in_memory_bytes, caller_percent).",
            ));
        }
        let (Some(memory), Some(more)) = (self.memory, self.weight.checked_sub(self.had)) else {
            return Ok(());
        };
        if more > 0 {
            let more = memory.take_now(more).map_err(no_room)?;
            self.had += more.bytes();
            match &mut self.taken {
                Some(taken) => taken.merge(more),
                None => self.taken = Some(more),
            }
        }
        Ok(())
    }

    /// What was taken, to be kept as long as what was made.
    pub(crate) fn into_permit(self) -> Option<MemoryPermit> {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn numbers(count: usize) -> Vec<u8> {
        format!("[{}]", vec!["0"; count].join(",")).into_bytes()
    }

    fn status(result: Result<()>) -> u16 {
        result.err().map_or(200, |problem| problem.status().as_u16())
    }

    #[test]
    fn what_is_made_of_a_body_counts_as_far_as_it_is_more_than_its_bytes() {
        let memory = MemoryBudget::new(50 << 20, Duration::ZERO);
        let (small, large) = (numbers(1000), numbers(100_000));
        let mut room = Room::of(&memory, small.len());
        room.weigh(&small).unwrap();
        assert!(room.into_permit().is_none());

        let mut room = Room::of(&memory, large.len());
        room.weigh(&large).unwrap();
        let taken = room.into_permit().unwrap();
        let wanted = tree_bytes(&large) - ALWAYS.max(large.len() as u64);
        assert!((wanted..wanted + 4096).contains(&taken.bytes()), "{} {wanted}", taken.bytes());
        // Two more of these are one too many, and what could not be had is given back.
        let mut room = Room::of(&memory, large.len());
        room.weigh(&large).unwrap();
        assert_eq!(status(Room::of(&memory, large.len()).weigh(&large)), 503);
        drop((room, taken));
        assert!(memory.is_whole());
    }

    #[test]
    fn parts_of_a_body_add_up_and_some_are_more_than_ever_can_be() {
        let memory = MemoryBudget::new(20 << 20, Duration::ZERO);
        let part = numbers(30_000);
        let mut room = Room::of(&memory, part.len());
        room.weigh(&part).unwrap();
        room.weigh(&part).unwrap();
        assert_eq!(status(room.weigh(&part)), 200);
        assert_eq!(status(room.weigh(&part)), 413);
        assert_eq!(status(Room::alone(0).weigh(&numbers(200_000))), 413);
        assert_eq!(status(Room::alone(0).weigh(&numbers(50_000))), 200);
    }
}

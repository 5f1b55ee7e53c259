//! Which group every node belongs to.

/// A partition of nodes 0, 1, …: a group for each of them. Groups are numbered in the order in which they
/// first occur, so two partitions are equal if they group alike, whatever names were used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    of_node: Vec<u32>,
    count: usize,
}

impl Partition {
    /// From any name of a group per node, in node order.
    pub fn new<G: Eq + std::hash::Hash>(groups: impl IntoIterator<Item = G>) -> Self {
        let mut numbers = std::collections::HashMap::new();
        let of_node = groups
            .into_iter()
            .map(|group| {
                let next = numbers.len() as u32;
                *numbers.entry(group).or_insert(next)
            })
            .collect();
        Self { of_node, count: numbers.len() }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.of_node.len()
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.count
    }

    /// The group of each node, below [`Partition::groups`].
    pub fn of_nodes(&self) -> &[u32] {
        &self.of_node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_matter() {
        let by_letter = Partition::new(["b", "b", "a", "c", "a"]);
        assert_eq!(by_letter, Partition::new([7, 7, 3, 0, 3]));
        assert_eq!(by_letter.of_nodes(), [0, 0, 1, 2, 1]);
        assert_eq!((by_letter.nodes(), by_letter.groups()), (5, 3));
        assert_ne!(by_letter, Partition::new([0, 1, 1, 2, 1]));
    }
}

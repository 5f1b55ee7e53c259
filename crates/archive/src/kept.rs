//! Keys that an import made anew, between two starts of it: in pieces that fit into rows of a journal.

use reasonedit_codebook::{EditId, Member};
use serde::{Deserialize, Serialize};

use crate::format::{ArchivedMember, archived, restore};

/// About how many bytes a piece has at most, where it has several members.
const PIECE_BYTES: usize = 256 << 10;
/// About how many bytes a member has beside its key and its sentence.
const BESIDE: usize = 512;

/// Some of the members of an edit.
#[derive(Serialize, Deserialize)]
pub struct KeptMembers {
    /// What decides how they are made, in short.
    recipe: [u8; 32],
    edit: EditId,
    /// How many members the edit has in all.
    of: usize,
    members: Vec<ArchivedMember>,
}

impl KeptMembers {
    /// The number of the first row for pieces of an edit, and 255 more are free for others. Two edits may
    /// have the same: the pieces say whose they are.
    pub fn first_row(edit: EditId) -> u64 {
        let id = u128::from_be_bytes(edit.to_bytes());
        let mixed = ((id >> 64) as u64 ^ (id as u64).rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed & !0xFF
    }

    /// All members of an edit, which were made by this recipe.
    pub fn split(recipe: [u8; 32], edit: EditId, members: &[Member]) -> Vec<Self> {
        let (mut pieces, mut bytes) = (Vec::<Self>::new(), PIECE_BYTES);
        for member in members {
            // A third more in base64; and what JSON may make of a character.
            let more = member.key.len() * 6 + member.sentence.len() * 6 + BESIDE;
            bytes += more;
            if bytes > PIECE_BYTES {
                bytes = more;
                pieces.push(Self { recipe, edit, of: members.len(), members: Vec::new() });
            }
            if let Some(piece) = pieces.last_mut() {
                piece.members.push(archived(member.clone()));
            }
        }
        pieces
    }

    /// The members of an edit that were made by this recipe, if all of them are among the pieces.
    pub fn join(recipe: [u8; 32], edit: EditId, pieces: Vec<Self>) -> Option<Vec<Member>> {
        let of = pieces.first()?.of;
        let own = pieces.into_iter().filter(|piece| piece.recipe == recipe && piece.edit == edit);
        let members: Vec<Member> =
            own.flat_map(|piece| piece.members).map(|member| restore(member).ok()).collect::<Option<_>>()?;
        let in_order = (0u32..).zip(&members).all(|(at, member)| member.ordinal == at && member.edit == edit);
        (members.len() == of && in_order).then_some(members)
    }
}

#[cfg(test)]
mod tests {
    use reasonedit_codebook::{EntryKind, ImageId, MemberId};

    use super::*;

    fn member(edit: EditId, ordinal: u32, numbers: usize) -> Member {
        Member {
            id: MemberId::derive(edit, ordinal),
            edit,
            ordinal,
            kind: EntryKind::Statement,
            statement: Some(ordinal),
            image: ImageId([7; 32]),
            area: None,
            sentence: "Über dem Zwerchfell liegt Flüssigkeit.".to_owned(),
            key: (0..numbers).map(|n| (n as f32 + 0.1).sin() / 3.0).collect(),
            radius: 0.1,
        }
    }

    fn through_rows(pieces: &[KeptMembers]) -> Vec<KeptMembers> {
        let row = |piece: &KeptMembers| {
            let row = serde_json::to_vec(piece).unwrap();
            assert!(row.len() < 1 << 20, "{} bytes", row.len());
            serde_json::from_slice(&row).unwrap()
        };
        pieces.iter().map(row).collect()
    }

    #[test]
    fn members_come_back_bit_by_bit_and_all_of_them_or_none() {
        let edit = EditId::from_bytes([3; 16]);
        for (members, numbers) in [(1, 8), (40, 8), (7, 5000), (260, 928), (3, 90_000)] {
            let members: Vec<Member> = (0..members).map(|n| member(edit, n, numbers)).collect();
            let split = || through_rows(&KeptMembers::split([1; 32], edit, &members));
            assert_eq!(KeptMembers::join([1; 32], edit, split()), Some(members.clone()));
            assert_eq!(KeptMembers::join([2; 32], edit, split()), None, "made otherwise");
            assert_eq!(KeptMembers::join([1; 32], EditId::from_bytes([4; 16]), split()), None);
            let mut cut = split();
            cut.pop();
            assert_eq!(KeptMembers::join([1; 32], edit, cut), None, "the rest was not kept");
        }
        assert!(KeptMembers::split([1; 32], edit, &[]).is_empty());
        assert_eq!(KeptMembers::join([1; 32], edit, Vec::new()), None);
    }

    #[test]
    fn edits_have_rows_of_their_own() {
        let rows: std::collections::HashSet<u64> = (0..10_000u128)
            .flat_map(|n| [n, (n << 80) | 1])
            .map(|id| KeptMembers::first_row(EditId::from_bytes(id.to_be_bytes())))
            .collect();
        assert!(rows.len() > 19_990, "{}", rows.len());
        assert!(rows.iter().all(|row| row % 256 == 0));
    }
}

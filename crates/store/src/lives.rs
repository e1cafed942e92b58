//! What is known of the lives of other nodes' histories, while a group is planned.

use std::collections::{BTreeMap, BTreeSet};

use gorgone_protocol::{Life, Mark};

/// A life as a column holds it; 0 where none is told.
pub(crate) fn life_column(life: Option<Life>) -> i64 {
    life.map_or(0, |life| life.bits().cast_signed())
}

/// The other way round.
pub(crate) fn life_from_column(column: i64) -> Option<Life> {
    (column != 0).then(|| Life::from_random(column.cast_unsigned()))
}

/// What the database knows of a node whose rows the group brings, and what changes of it.
#[derive(Default, Debug)]
pub(crate) struct Synced {
    pub(crate) mark: Mark,
    /// Life and id of rows that are stored, among those that the group brings.
    pub(crate) stored: BTreeSet<(i64, i64)>,
    /// The place of the last of the mark's lives in their order.
    pub(crate) turn: i64,
    /// The node's present life, where it is another one now.
    pub(crate) now: Option<i64>,
    /// Lives whose rows the group brings: the last one, and their place in the order.
    pub(crate) touched: BTreeMap<i64, (i64, i64)>,
    /// Lives that are not remembered any more.
    pub(crate) dropped: Vec<i64>,
}

impl Synced {
    /// Rows up to this one are stored.
    pub(crate) fn stored(&mut self, life: Option<Life>, upto: i64) {
        let before: Vec<Life> = self.mark.lives.iter().map(|(life, _)| *life).collect();
        self.mark.stored(life, upto);
        let (Some(life), Some((_, last))) = (life, self.mark.lives.last()) else {
            return;
        };
        if before.last() != Some(&life) {
            self.turn += 1;
        }
        self.touched
            .insert(life_column(Some(life)), (*last, self.turn));
        for gone in before {
            if !self.mark.lives.iter().any(|(known, _)| *known == gone) {
                self.touched.remove(&life_column(Some(gone)));
                self.dropped.push(life_column(Some(gone)));
            }
        }
    }

    /// The node is in another life.
    pub(crate) fn began(&mut self, life: Life, back_to: Option<i64>) {
        self.mark.began(life, back_to);
        self.now = Some(life_column(Some(life)));
    }
}

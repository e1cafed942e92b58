//! Requests to many nodes: how far each of their parts is.

use std::collections::BTreeMap;

use gorgone_protocol::request::targets::{GetTargets, TargetOn, TargetState, Targets};
use gorgone_protocol::{NodeId, Reason, Target, Token, Verdict};
use gorgone_routing::EndedPart;
use sqlx::{Row as _, SqlitePool};

use crate::Error;
use crate::store::TargetsOf;

/// How far the request with a token is on each of its nodes: a page of these, and counts of all.
pub(crate) async fn read(pool: &SqlitePool, asked: &GetTargets) -> Result<TargetsOf, Error> {
    let whole = sqlx::query("SELECT action, target, finished FROM gorgone_task WHERE token = ?")
        .bind(asked.token.as_str())
        .fetch_optional(pool)
        .await?;
    let Some(whole) = whole else {
        return Ok(TargetsOf::Unknown);
    };
    let target: String = whole.try_get(1)?;
    if !matches!(Target::parse(&target), Target::Many(_)) {
        return Ok(TargetsOf::Single);
    }
    let finished: Option<i64> = whole.try_get(2)?;
    let (nodes, more) = page(pool, asked).await?;
    Ok(TargetsOf::Many(Targets {
        action: whole.try_get(0)?,
        target,
        live: finished.is_none(),
        counts: counts(pool, &asked.token).await?,
        nodes,
        more,
    }))
}

async fn page(pool: &SqlitePool, asked: &GetTargets) -> Result<(Vec<TargetOn>, bool), Error> {
    let limit = asked.limit.unwrap_or(GetTargets::PAGE);
    let limit = limit.clamp(1, GetTargets::PAGE);
    let after = asked.after.map_or(-1, |node| {
        // Ids are below 2^63.
        i64::try_from(node.get()).unwrap_or(i64::MAX)
    });
    let rows = sqlx::query(
        "SELECT CAST(target AS INTEGER) AS id, token, state, verdict, finished FROM gorgone_task \
         WHERE parent = ?1 AND CAST(target AS INTEGER) > ?2 ORDER BY id LIMIT ?3 + 1",
    )
    .bind(asked.token.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let more = rows.len() as i64 > limit;
    let rows = rows.iter().take(usize::try_from(limit).unwrap_or(0));
    let nodes = rows.map(|row| {
        Ok(TargetOn {
            node: node(row.try_get(0)?),
            token: row.try_get(1)?,
            state: state(row.try_get(2)?, row.try_get(3)?)?,
            ended: row.try_get(4)?,
        })
    });
    Ok((nodes.collect::<Result<_, Error>>()?, more))
}

async fn counts(pool: &SqlitePool, whole: &Token) -> Result<BTreeMap<TargetState, u64>, Error> {
    let rows = sqlx::query(
        "SELECT state, verdict, count(*) FROM gorgone_task WHERE parent = ? GROUP BY state, verdict",
    )
    .bind(whole.as_str())
    .fetch_all(pool)
    .await?;
    let mut counts = BTreeMap::new();
    for row in &rows {
        let count: i64 = row.try_get(2)?;
        *counts
            .entry(state(row.try_get(0)?, row.try_get(1)?)?)
            .or_default() += count.unsigned_abs();
    }
    Ok(counts)
}

/// Parts that have ended, of requests that have not.
pub(crate) async fn ended_parts(pool: &SqlitePool) -> Result<Vec<EndedPart>, Error> {
    let rows = sqlx::query(
        "SELECT part.parent, CAST(part.target AS INTEGER), part.verdict FROM gorgone_task whole \
         JOIN gorgone_task part ON part.parent = whole.token \
         WHERE whole.finished IS NULL AND part.finished IS NOT NULL",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let parent: &str = row.try_get(0)?;
            Ok(EndedPart {
                parent: Token::parse(parent).map_err(|_| Error::unreadable("the token", parent))?,
                node: node(row.try_get(1)?),
                verdict: verdict(row.try_get(2)?),
            })
        })
        .collect()
}

fn node(id: i64) -> NodeId {
    NodeId::new(id.unsigned_abs())
}

fn verdict(word: Option<&str>) -> Verdict {
    word.and_then(Verdict::parse)
        .unwrap_or(Verdict::Ko(Reason::Unknown))
}

fn state(state: &str, word: Option<&str>) -> Result<TargetState, Error> {
    Ok(match state {
        "queued" | "doubtful" => TargetState::Waiting,
        "leaving" => TargetState::Leaving,
        "away" => TargetState::Away,
        "sent" | "begun" => TargetState::Running,
        "finished" => TargetState::Ended(verdict(word)),
        other => return Err(Error::unreadable("the state of a task", other)),
    })
}

//! Claims: one owner, for as long as was promised.

use throughline_storage::append::*;
use throughline_storage::store::memory::MemoryStore;

use crate::world::*;

fn taken(owner: &str) -> Result<(), CommitError> {
    Err(CommitError::ClaimTaken { index: 0, owner: owner.into() })
}

#[tokio::test]
async fn each_way_to_take_a_claim_says_who_may() {
    let journal = open(&MemoryStore::new());
    let owner = || journal.claim(&permanent("key")).unwrap().map(|owner| String::from_utf8(owner).unwrap());
    let ask = async |change| journal.commit(claim(permanent("key"), change)).await.map(drop);
    let take_from =
        |owner: &str, former: &str| ClaimChange::TakeFrom { owner: owner.into(), former: former.into() };
    let take = |owner: &str| ClaimChange::Take { owner: owner.into() };
    let take_once = |owner: &str| ClaimChange::TakeOnce { owner: owner.into() };
    let take_if_free = |owner: &str| ClaimChange::TakeIfFree { owner: owner.into() };
    let release = |owner: &str| ClaimChange::Release { owner: owner.into() };

    assert_eq!(ask(release("a")).await, Ok(()), "nothing to give up");
    assert_eq!(ask(take("a")).await, Ok(()));
    assert_eq!(ask(take("a")).await, Ok(()), "again is nothing");
    assert_eq!(ask(take("b")).await, taken("a"));
    assert_eq!(ask(take_once("a")).await, taken("a"), "once is once");
    assert_eq!(ask(take_from("c", "b")).await, taken("a"));
    assert_eq!(ask(take_from("b", "a")).await, Ok(()));
    assert_eq!(ask(take_from("b", "a")).await, Ok(()), "again is nothing");
    assert_eq!(owner(), Some("b".into()));
    assert_eq!(ask(release("a")).await, Ok(()), "it is not a's to give up");
    assert_eq!(owner(), Some("b".into()));
    assert_eq!(ask(release("b")).await, Ok(()));
    assert_eq!(owner(), None);
    assert_eq!(ask(take_from("c", "b")).await, Ok(()), "free is free");
    assert_eq!(ask(release("c")).await, Ok(()));
    assert_eq!(ask(take_once("d")).await, Ok(()));
    assert_eq!(owner(), Some("d".into()));
    assert_eq!(ask(take_if_free("e")).await, Ok(()), "not free, and nothing is lost by it");
    assert_eq!(owner(), Some("d".into()));
    assert_eq!(ask(release("d")).await, Ok(()));
    assert_eq!(ask(take_if_free("e")).await, Ok(()));
    assert_eq!(owner(), Some("e".into()));
}

#[tokio::test]
async fn one_claim_too_many_and_none_is_taken() {
    let journal = open(&MemoryStore::new());
    journal.commit(take(permanent("second"), "other")).await.unwrap();
    let mut append = take(permanent("first"), "me");
    append.claims.extend(take(permanent("second"), "me").claims);
    let answer = journal.commit(append).await;
    assert_eq!(answer, Err(CommitError::ClaimTaken { index: 1, owner: b"other".to_vec() }));
    assert_eq!(journal.claim(&permanent("first")).unwrap(), None);
}

#[tokio::test]
async fn one_append_cannot_take_the_same_key_twice() {
    let journal = open(&MemoryStore::new());
    let mut append = take_once(permanent("key"), "me");
    append.claims.extend(take_once(permanent("key"), "me").claims);
    let answer = journal.commit(append).await;
    assert_eq!(answer, Err(CommitError::ClaimTaken { index: 1, owner: b"me".to_vec() }));
    assert_eq!(journal.claim(&permanent("key")).unwrap(), None);
}

#[tokio::test]
async fn a_periodic_claim_lasts_its_week_and_the_next() {
    let journal = open(&MemoryStore::new());
    let end_of_week_10 = 11 * WEEK_MS - 1;
    journal.commit(take_once(periodic("key", end_of_week_10), "me")).await.unwrap();
    let again = async |at_ms| journal.commit(take_once(periodic("key", at_ms), "other")).await.map(drop);
    assert_eq!(again(10 * WEEK_MS).await, taken("me"));
    assert_eq!(again(11 * WEEK_MS).await, taken("me"), "a moment later is another week");
    assert_eq!(again(12 * WEEK_MS - 1).await, taken("me"));
    assert_eq!(journal.claim(&periodic("key", 12 * WEEK_MS - 1)).unwrap(), Some(b"me".to_vec()));
    assert_eq!(journal.claim(&periodic("key", 12 * WEEK_MS)).unwrap(), None);
    assert_eq!(again(12 * WEEK_MS).await, Ok(()));
    assert_eq!(journal.claim(&permanent("key")).unwrap(), None, "the other kind of claim is another key");
}

/// Two deliveries of one message, the first with its moment just before a week's end and the second just after: one
/// of them counts, whichever reaches the committer first, and whether in a group each or in one.
#[tokio::test]
async fn a_periodic_claim_holds_on_both_sides_of_a_week_s_end() {
    let (before, after) = (11 * WEEK_MS - 1, 11 * WEEK_MS + 5);
    for moments in [[before, after], [after, before]] {
        for at_once in [false, true] {
            let store = MemoryStore::new();
            let journal = open(&store);
            let appends = vec![
                take_once(periodic("key", moments[0]), "me"),
                take_once(periodic("key", moments[1]), "other"),
            ];
            let answers = if at_once {
                as_one_group(&store, &journal, appends, || ()).await
            } else {
                let mut answers = vec![];
                for append in appends {
                    answers.push(journal.commit(append).await);
                }
                answers
            };
            assert!(answers[0].is_ok(), "{moments:?} {answers:?}");
            assert_eq!(answers[1].clone().map(drop), taken("me"), "{moments:?} {at_once}");
            for moment in moments {
                assert_eq!(
                    journal.claim(&periodic("key", moment)).unwrap(),
                    Some(b"me".to_vec()),
                    "{moment}"
                );
            }
        }
    }
}

#[tokio::test]
async fn only_the_last_day_of_a_week_looks_into_the_next() {
    let journal = open(&MemoryStore::new());
    let last_day = 11 * WEEK_MS - WEEK_MS / 7;
    let owner = |at_ms| journal.claim(&periodic("key", at_ms)).unwrap();
    journal.commit(take_once(periodic("key", 11 * WEEK_MS), "me")).await.unwrap();
    assert_eq!(owner(last_day - 1), None);
    assert_eq!(owner(last_day), Some(b"me".to_vec()));
    // An earlier claim does not stand against the later one, and both are given up together.
    journal.commit(take_once(periodic("key", last_day - 1), "former")).await.unwrap();
    assert_eq!(owner(last_day), Some(b"me".to_vec()));
    journal
        .commit(claim(periodic("key", last_day), ClaimChange::Release { owner: b"me".to_vec() }))
        .await
        .unwrap();
    assert_eq!(owner(last_day), None);
    assert_eq!(owner(11 * WEEK_MS), None);
}

#[tokio::test]
async fn a_claim_that_moves_on_the_last_day_moves_where_it_was_found() {
    let journal = open(&MemoryStore::new());
    let owner = |at_ms| journal.claim(&periodic("key", at_ms)).unwrap();
    journal.commit(take(periodic("key", 11 * WEEK_MS), "a")).await.unwrap();
    let moves = ClaimChange::TakeFrom { owner: b"b".to_vec(), former: b"a".to_vec() };
    journal.commit(claim(periodic("key", 11 * WEEK_MS - 1), moves)).await.unwrap();
    assert_eq!(owner(11 * WEEK_MS - 1), Some(b"b".to_vec()));
    assert_eq!(owner(11 * WEEK_MS), Some(b"b".to_vec()));
}

#[tokio::test]
async fn a_periodic_claim_moves_and_is_given_up_across_weeks() {
    let journal = open(&MemoryStore::new());
    let at = |week: u64| periodic("key", week * WEEK_MS);
    journal.commit(take(at(10), "a")).await.unwrap();
    let moves = ClaimChange::TakeFrom { owner: b"b".to_vec(), former: b"a".to_vec() };
    journal.commit(claim(at(11), moves)).await.unwrap();
    assert_eq!(journal.claim(&at(11)).unwrap(), Some(b"b".to_vec()));
    assert_eq!(journal.claim(&at(12)).unwrap(), Some(b"b".to_vec()));
    journal.commit(claim(at(11), ClaimChange::Release { owner: b"b".to_vec() })).await.unwrap();
    assert_eq!(journal.claim(&at(11)).unwrap(), None, "the former owner does not come back");
}

#[tokio::test]
async fn the_first_week_there_ever_was_has_none_before_it() {
    let journal = open(&MemoryStore::new());
    journal.commit(take_once(periodic("key", 0), "me")).await.unwrap();
    assert_eq!(journal.commit(take_once(periodic("key", 1), "me")).await.map(drop), taken("me"));
    assert_eq!(journal.sweep_claims(0).await, Ok(0));
}

#[tokio::test]
async fn a_sweep_removes_old_weeks_of_every_tenant_in_small_steps() {
    let store = MemoryStore::new();
    let journal = open(&store);
    for tenant in ["acme", "b", "c"] {
        let claims = |week: u64, count: usize| {
            (0..count).map(move |number| ClaimRequest {
                key: ClaimKey {
                    tenant: tenant.into(),
                    ..periodic(&format!("{week} {number}"), week * WEEK_MS)
                },
                change: ClaimChange::TakeOnce { owner: b"me".to_vec() },
            })
        };
        let claims =
            claims(9, 600).chain(claims(10, 300)).chain(claims(11, 5)).chain(claims(12, 5)).collect();
        journal.commit(Append { claims, ..Append::default() }).await.unwrap();
    }
    journal.commit(take(permanent("key"), "me")).await.unwrap();
    let commits = store.faults().commits();
    assert_eq!(journal.sweep_claims(12 * WEEK_MS + 5).await, Ok(3 * 900));
    assert!(store.faults().commits() - commits >= 3 * 4, "in steps");
    assert_eq!(crate::damage::keys_of(&store, b'w').len(), 3 * 10);
    assert_eq!(journal.claim(&periodic("12 1", 12 * WEEK_MS)).unwrap(), Some(b"me".to_vec()));
    assert_eq!(journal.claim(&permanent("key")).unwrap(), Some(b"me".to_vec()));
    assert_eq!(journal.sweep_claims(12 * WEEK_MS + 5).await, Ok(0));
}

#[tokio::test]
#[should_panic(expected = "at most 1024 bytes")]
async fn a_key_that_is_too_long_is_the_caller_s_mistake() {
    let journal = open(&MemoryStore::new());
    let _ = journal.commit(take(permanent(&"x".repeat(1025)), "me")).await;
}

#[tokio::test]
#[should_panic(expected = "`keys::row` or `keys::setting`")]
async fn a_row_outside_the_callers_space_is_the_caller_s_mistake() {
    let journal = open(&MemoryStore::new());
    let rows = vec![RowChange { key: b"record".to_vec(), value: None }];
    let _ = journal.commit(Append { rows, ..Append::default() }).await;
}

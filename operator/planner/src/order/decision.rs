//! The decision about an order: what is done with it in this look.

use jiff::Timestamp;
use manyworlds_api::World;
use manyworlds_api::conditions::Reason;
use manyworlds_api::object::ObjectId;

/// A decision about an order.
#[derive(Debug)]
pub(super) enum Decision {
    /// Nothing is done: the order is being deleted.
    Leave,
    /// It is over; it is deleted at that time, where it has one.
    Expire(Option<Timestamp>),
    /// Worlds of an earlier order of the same name go first.
    CleanUp(Vec<ObjectId<World>>),
    /// It is suspended, or nothing is left of a budget.
    Hold(Hold),
    /// It cannot begin yet, for this reason and with this sentence.
    Await(Reason, String),
    /// It ends.
    End(End),
    /// Its Worlds go on.
    Proceed,
}

/// The reason for which an order is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// A person suspended it.
    Suspended,
    /// Nothing is left of a budget, which is described here.
    BudgetExhausted(String),
}

impl Hold {
    /// Returns the reason and what people are told.
    pub(super) fn said(&self) -> (Reason, String) {
        match self {
            Self::Suspended => (
                Reason::Suspended,
                "the order is suspended; set spec.suspend to false, or use 'kubectl worlds resume'".to_owned(),
            ),
            Self::BudgetExhausted(what) => (
                Reason::BudgetExhausted,
                format!("{what} is used up; the order goes on by itself once it is raised or its next period begins"),
            ),
        }
    }
}

/// The end of an order.
#[derive(Debug)]
pub(super) enum End {
    /// Every World has ended, or enough results are good enough: the ranking decides.
    Judged {
        /// The reason for which no more results are awaited.
        reason: Reason,
    },
    /// It fails whatever the Worlds have done.
    Failed {
        /// Why.
        reason: Reason,
        /// One sentence.
        message: String,
    },
}

impl End {
    /// Returns what is said to Worlds that are cut.
    pub(super) fn cut_message(&self) -> String {
        match self {
            Self::Judged { reason: Reason::ActiveDeadlineExceeded } => {
                "the order's active deadline has passed".to_owned()
            }
            Self::Judged { reason: Reason::BudgetExhausted } => "the budget is used up".to_owned(),
            Self::Judged { .. } => "there were enough good results before this World had one".to_owned(),
            Self::Failed { message, .. } => format!("the order ended: {message}"),
        }
    }
}

//! Types and reasons of conditions. The sets are closed, so scripts can rely on them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Declares a closed set of words with their texts.
macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $word:ident),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$inner])* $word),+ }

        impl $name {
            /// Every word of the set.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// Returns the word as written in a resource.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word)),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Type of a condition of a WorkOrder.
    OrderCondition {
        /// The order is valid and has its share of capacity.
        Admitted,
        /// At least one World has been started.
        WorldsStarted,
        /// Every World has ended.
        Evaluated,
        /// There is a winner.
        WinnerSelected,
        /// The order succeeded; Unknown while it is active.
        Succeeded,
        /// The order has ended, in success or failure.
        Finished,
        /// The order makes no progress until a person acts.
        Stalled,
    }
}

words! {
    /// Type of a condition of a World.
    WorldCondition {
        /// The pod of the current attempt has a node.
        PodScheduled,
        /// The repository has been fetched.
        Prepared,
        /// The worker has ended.
        Worked,
        /// The gates have run.
        Evaluated,
        /// The World was scored and is eligible; Unknown while it is active.
        Succeeded,
        /// The World has ended, in success or failure.
        Finished,
    }
}

words! {
    /// Type of a condition of a Provider.
    ProviderCondition {
        /// The key and the prices of the models are known.
        Ready,
        /// The last calls were answered; Unknown before the first call.
        Reachable,
    }
}

words! {
    /// Type of a condition of a Budget.
    BudgetCondition {
        /// The Budget limits the orders that it selects.
        Ready,
        /// The amount is used up.
        Exceeded,
    }
}

words! {
    /// Reason of a condition, an Event or a wait.
    Reason {
        /// Work is in progress.
        InProgress,
        /// The order was accepted.
        Admitted,
        /// The Worlds were started.
        WorldsStarted,
        /// All Worlds have ended.
        AllWorldsEnded,
        /// Enough Worlds are eligible.
        EnoughEligible,
        /// There are enough good results, so the rest was cut.
        EarlyTermination,
        /// The winner has been chosen.
        HighestScore,
        /// Fewer Worlds than asked for are eligible, and a fallback accepts that.
        PartialSuccess,
        /// Too few Worlds are eligible, and a fallback lets the order end without a winner.
        Skipped,
        /// The Worlds that are not eligible run again, by a fallback.
        FallbackStarted,
        /// Worlds are judged again, because a person has asked for it.
        ReevaluationStarted,
        /// A person has asked for Worlds to be judged again that cannot be.
        ReevaluationRefused,
        /// No World, or fewer than asked for, is eligible.
        NoEligibleWorld,
        /// The nodes have no free slot.
        AwaitingCapacity,
        /// No node could ever hold a World of this size.
        NoNodeFits,
        /// The budget is used up.
        BudgetExhausted,
        /// The rate limit of the model is reached.
        RateLimited,
        /// The model's provider does not answer.
        ProviderUnavailable,
        /// A person must approve.
        AwaitingApproval,
        /// The order is suspended.
        Suspended,
        /// The order was cancelled.
        Cancelled,
        /// The order waited longer than `deadlines.start`.
        StartDeadlineExceeded,
        /// The order ran longer than `deadlines.active`.
        ActiveDeadlineExceeded,
        /// A field asks for a feature that this version does not have.
        NotSupported,
        /// The specification is not valid.
        InvalidSpecification,
        /// Objects of an earlier order of the same name are still being removed.
        AwaitingCleanup,
        /// The API server refused a write for lack of permission.
        PermissionDenied,
        /// The API server refused an object as invalid.
        Rejected,
        /// The next attempt has not begun yet.
        AwaitingRetry,
        /// The pod is being started.
        Starting,
        /// The stage is running.
        Running,
        /// The stage is done.
        Completed,
        /// The stage was not reached.
        NotReached,
        /// No node accepts the pod.
        Unschedulable,
        /// The image cannot be pulled.
        ImagePullFailed,
        /// A container could not be made.
        ContainerCreationFailed,
        /// The node does not answer or is gone.
        NodeLost,
        /// The pod was evicted.
        Evicted,
        /// The pod was deleted by somebody else.
        PodDeleted,
        /// A container exceeded its memory limit.
        OutOfMemory,
        /// The secret that the repository needs is missing or incomplete.
        SecretMissing,
        /// The secret does not say that it may be used for the host of the repository.
        SecretNotForHost,
        /// The repository cannot be reached.
        RepositoryUnreachable,
        /// The repository refused the credential.
        RepositoryUnauthorized,
        /// The repository has no such revision.
        RevisionNotFound,
        /// The worker ended with a failure and changed nothing.
        WorkerFailed,
        /// The worker ran out of time and changed nothing.
        WorkerTimedOut,
        /// The worker changed nothing.
        NoChange,
        /// The change was refused before any gate ran.
        ChangeRefused,
        /// The gates ran out of time.
        TestingTimedOut,
        /// The gates could not be run.
        EvaluationFailed,
        /// The gates could not be run at the base.
        BaselineFailed,
        /// A gate cannot do its work at the base: its program is missing, or it found no test.
        GateCannotRun,
        /// The gates could not be confined, and the order requires it.
        NotSealed,
        /// A gate attacked its judge, so the World scores 0.
        JudgeAttacked,
        /// A required gate failed.
        RequiredGateFailed,
        /// The score is below `acceptScore`.
        BelowAcceptScore,
        /// The World was scored and is eligible.
        Eligible,
        /// The World was ended before it had a score.
        Cut,
        /// The attempt left no readable result.
        ResultUnreadable,
        /// The object has a field that this version of the operator cannot read.
        Unreadable,
        /// The artifacts could not be stored.
        ArtifactsNotStored,
        /// The operator could not be reached from the pod.
        OperatorUnreachable,
        /// The pod received a signal to end.
        Terminated,
        /// The pod outlived all its time-outs.
        Overdue,
        /// Every attempt was used up.
        AttemptsExhausted,
        /// The failure of one World ended the whole order.
        OrderFailed,
        /// The object is complete and in use.
        Ready,
        /// The price of a model is not known.
        PriceUnknown,
        /// A model that the order names cannot be called.
        ModelUnavailable,
        /// No Budget holds the order, and one has to.
        BudgetRequired,
        /// No call has been made yet.
        NotCalled,
        /// Calls are answered.
        Answering,
        /// Money is left.
        WithinBudget,
        /// The spending reached a warning percentage of a Budget.
        BudgetWarning,
        /// An unexpected state; a bug.
        Unexpected,
    }
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// The status is not known yet.
    Unknown,
}

impl Truth {
    /// Returns the status as written in a resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Returns the status of one condition.
///
/// - **Guarantees:** `Unknown` when there is no such condition.
pub fn truth(conditions: &[Condition], kind: &str) -> Truth {
    match conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.status.as_str()) {
        Some("True") => Truth::True,
        Some("False") => Truth::False,
        _ => Truth::Unknown,
    }
}

/// Sets one condition.
///
/// - **Guarantees:** the transition time changes only when the status does, so setting the same condition twice changes nothing.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    condition.message = shortened(&condition.message, 4096);
    match conditions.iter_mut().find(|existing| existing.type_ == condition.type_) {
        Some(existing) => {
            if existing.status == condition.status {
                condition.last_transition_time = existing.last_transition_time.clone();
            }
            *existing = condition;
        }
        None => conditions.push(condition),
    }
}

/// Returns a condition.
///
/// - **Shape:** `message` is one sentence for people.
pub fn condition(
    kind: &str,
    truth: Truth,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: jiff::Timestamp,
) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: truth.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    }
}

/// Returns the text, cut at a character boundary when it has more than `limit` bytes.
pub fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mark = "...";
    let mut end = limit.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut conditions = Vec::new();
        set(&mut conditions, condition("Finished", Truth::False, Reason::InProgress, "a", None, at(1)));
        set(&mut conditions, condition("Finished", Truth::False, Reason::InProgress, "b", None, at(2)));
        assert_eq!(conditions[0].last_transition_time.0, at(1));
        assert_eq!(conditions[0].message, "b");
        set(&mut conditions, condition("Finished", Truth::True, Reason::HighestScore, "c", None, at(3)));
        assert_eq!(conditions[0].last_transition_time.0, at(3));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn a_missing_condition_is_unknown() {
        assert_eq!(truth(&[], "Finished"), Truth::Unknown);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 5), "ä...");
        assert_eq!(shortened("abc", 5), "abc");
    }
}

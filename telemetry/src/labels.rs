//! Closed sets of label values.

/// Declares a closed set of label values.
macro_rules! labels {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $word:ident = $text:literal),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$inner])* $word),+ }
        impl $name {
            /// Returns the value of the label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text),+ }
            }
        }
    };
}

labels! {
    /// How a WorkOrder ended.
    OrderOutcome {
        /// It has a winner.
        Succeeded = "succeeded",
        /// It has none.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// It has no winner, and a fallback allows that.
        Skipped = "skipped",
    }
}
labels! {
    /// How a World ended.
    WorldOutcome {
        /// With a score, and it could win.
        Eligible = "eligible",
        /// With a score, and it could not win.
        Ineligible = "ineligible",
        /// Without a score.
        Failed = "failed",
        /// It was cut.
        Cut = "cut",
    }
}
labels! {
    /// Class of an error of the operator itself.
    ErrorClass {
        /// The resource's fault.
        Spec = "spec",
        /// Time will cure it.
        Transient = "transient",
        /// Somebody else wrote first.
        Conflict = "conflict",
        /// A permission is missing.
        Permission = "permission",
        /// Ours.
        Bug = "bug",
    }
}
labels! {
    /// Verb of a write request.
    ApiVerb {
        /// Create.
        Create = "create",
        /// Patch.
        Patch = "patch",
        /// Delete.
        Delete = "delete",
    }
}
labels! {
    /// What a write request is about.
    Written {
        /// A WorkOrder.
        WorkOrder = "workorder",
        /// A World.
        World = "world",
        /// A pod.
        Pod = "pod",
        /// An event.
        Event = "event",
        /// A network policy.
        NetworkPolicy = "networkpolicy",
        /// A node.
        Node = "node",
        /// A Provider.
        Provider = "provider",
        /// A Budget.
        Budget = "budget",
    }
}
labels! {
    /// Class of an HTTP answer.
    ApiWord {
        /// 2xx.
        Success = "2xx",
        /// 4xx.
        Refused = "4xx",
        /// 5xx.
        Failed = "5xx",
    }
}

labels! {
    /// A kind of token.
    TokenWord {
        /// Input that was neither read from the Provider's cache nor written to it.
        Input = "input",
        /// Input that was read from it.
        Cached = "cached",
        /// Input that was written to it.
        CacheWrite = "cache_write",
        /// Output.
        Output = "output",
    }
}
labels! {
    /// How a call to a model ended.
    CallWord {
        /// The model answered.
        Answered = "answered",
        /// Upstream failed or could not be reached.
        Outage = "outage",
        /// Upstream was busy or its rate limit was passed.
        Refused = "refused",
        /// The request, the key or the money was at fault.
        Faulty = "faulty",
        /// The client went away, or the answer was cut.
        Cut = "cut",
        /// The process that made it died.
        Lost = "lost",
    }
}
labels! {
    /// Whether an answer had been kept.
    CacheWord {
        /// It had.
        Hit = "hit",
        /// It had not.
        Miss = "miss",
    }
}
labels! {
    /// The state of a breaker.
    BreakerWord {
        /// Calls go out.
        Closed = "closed",
        /// A few are tried.
        HalfOpen = "half_open",
        /// None goes out.
        Open = "open",
    }
}
labels! {
    /// How a Budget stands.
    BudgetWord {
        /// No percentage of `warnAt` is reached.
        Within = "within",
        /// One is.
        Warned = "warned",
        /// All of it is spent.
        Exceeded = "exceeded",
    }
}
labels! {
    /// Why the gateway refused a request.
    RefusalWord {
        /// It is not what its protocol says.
        Request = "request",
        /// Nobody holds its token.
        Token = "token",
        /// Its World was stopped.
        Stopped = "stopped",
        /// A budget is used up.
        Budget = "budget",
        /// Its World may not call the model.
        Model = "model",
        /// It is too large.
        Size = "size",
        /// There was no room in time.
        Limit = "limit",
        /// The breaker is open.
        Breaker = "breaker",
        /// The Provider did not answer.
        Upstream = "upstream",
        /// It did not come in time.
        Slow = "slow",
        /// The gateway cannot go on.
        Unavailable = "unavailable",
    }
}

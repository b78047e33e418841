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
    /// The outcome of a WorkOrder.
    OrderOutcome {
        /// It succeeded.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// It has no winner, and a fallback allows that.
        Skipped = "skipped",
    }
}
labels! {
    /// The outcome of a World.
    WorldOutcome {
        /// Scored and eligible.
        Eligible = "eligible",
        /// Scored and not eligible.
        Ineligible = "ineligible",
        /// Not scored.
        Failed = "failed",
        /// Cut before it had a score.
        Cut = "cut",
    }
}
labels! {
    /// Class of an error of the operator itself.
    ErrorClass {
        /// The specification is wrong.
        Spec = "spec",
        /// A retry may succeed.
        Transient = "transient",
        /// Another writer was first.
        Conflict = "conflict",
        /// A permission is missing.
        Permission = "permission",
        /// A bug of the operator.
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
    /// The kind of object in a write request.
    ObjectLabel {
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
    /// The class of an HTTP status.
    StatusClassLabel {
        /// 2xx.
        Success = "2xx",
        /// 4xx.
        Refused = "4xx",
        /// 5xx.
        Failed = "5xx",
    }
}

labels! {
    /// The kind of a token.
    TokenLabel {
        /// Input that was neither read from the Provider's cache nor written to it.
        Input = "input",
        /// Input that was read from the cache.
        Cached = "cached",
        /// Input that was written to the cache.
        CacheWrite = "cache_write",
        /// Output.
        Output = "output",
    }
}
labels! {
    /// The outcome of a call to a model.
    CallLabel {
        /// The model answered.
        Answered = "answered",
        /// The Provider failed or could not be reached.
        Outage = "outage",
        /// The Provider was busy or its rate limit was reached.
        Refused = "refused",
        /// The request, the key or the budget was at fault.
        Faulty = "faulty",
        /// The client disconnected or the answer was cut short.
        Cut = "cut",
        /// The process of the call died.
        Lost = "lost",
    }
}
labels! {
    /// The result of a look-up in the answer cache.
    CacheLabel {
        /// The answer was in the cache.
        Hit = "hit",
        /// The answer was not in the cache.
        Miss = "miss",
    }
}
labels! {
    /// The state of a breaker.
    BreakerLabel {
        /// Calls are sent.
        Closed = "closed",
        /// A few calls are tried.
        HalfOpen = "half_open",
        /// No call is sent.
        Open = "open",
    }
}
labels! {
    /// The state of a Budget.
    BudgetLabel {
        /// No percentage of `warnAt` is reached.
        Within = "within",
        /// A percentage of `warnAt` is reached.
        Warned = "warned",
        /// All of the amount is spent.
        Exceeded = "exceeded",
    }
}
labels! {
    /// The reason why the gateway refused a request.
    RefusalLabel {
        /// The request is not valid in its protocol.
        Request = "request",
        /// The token is not valid.
        Token = "token",
        /// The World was stopped.
        Stopped = "stopped",
        /// A budget is used up.
        Budget = "budget",
        /// The World may not call the model.
        Model = "model",
        /// The request is too large.
        Size = "size",
        /// The rate limits left no room within the maximum wait.
        Limit = "limit",
        /// The breaker is open.
        Breaker = "breaker",
        /// The Provider did not answer.
        Upstream = "upstream",
        /// The request did not arrive in time.
        Slow = "slow",
        /// The client has too many connections.
        Connections = "connections",
        /// The gateway cannot serve requests.
        Unavailable = "unavailable",
        /// The gateway panicked.
        Fault = "fault",
    }
}
labels! {
    /// The reason why the artifacts of an order were removed.
    RemovalLabel {
        /// The order was deleted.
        Deleted = "deleted",
        /// The order finished too long ago.
        Expired = "expired",
    }
}
labels! {
    /// A volume that the operator stores on.
    VolumeLabel {
        /// That of the artifacts.
        Artifacts = "artifacts",
        /// That of the ledger's SQLite file.
        Ledger = "ledger",
    }
}

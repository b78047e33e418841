use k8s_openapi::api::core::v1::{Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use proptest::prelude::*;

use std::num::NonZero;

use super::super::shares::NamespaceShare;
use super::*;
use manyworlds_api::object::Uid;
use manyworlds_api::work_order::ResourceAmounts;

const GIB: u64 = 1 << 30;

fn room(processors: u64, memory: u64, storage: u64) -> Resources {
    Resources { processor: processors * 1000, memory: memory * GIB, storage: storage * GIB, pods: 110 }
}

fn world() -> Resources {
    Resources { pods: 1, ..room(2, 8, 100) }
}

fn node(name: &str, allocatable: Resources) -> ObservedNode {
    ObservedNode {
        name: name.into(),
        labels: BTreeMap::from([("pool".to_owned(), name.to_owned())]),
        taints: Vec::new(),
        schedulable: true,
        readiness: Readiness::Ready,
        allocatable,
    }
}

fn capacity(nodes: impl IntoIterator<Item = ObservedNode>) -> Capacity {
    let mut capacity = Capacity::default();
    for node in nodes {
        capacity.node_set(node);
    }
    capacity
}

/// Returns the uid of an order or of a pod.
fn uid<K>(text: &str) -> Uid<K> {
    text.parse().unwrap()
}

fn request(uid: &str, priority: i32, age: i64, want: usize) -> Request {
    Request {
        uid: uid.parse().unwrap(),
        namespace: "team".into(),
        priority,
        created: Timestamp::from_second(1_000_000 - age).unwrap(),
        want,
        size: world(),
        placement: Arc::default(),
    }
}

/// The same request from another namespace.
fn from(namespace: &str, request: Request) -> Request {
    Request { namespace: namespace.into(), ..request }
}

fn slot(namespace: &str, node: Option<&str>, size: Resources) -> Slot {
    Slot { namespace: namespace.into(), node: node.map(Into::into), size }
}

/// Nodes whose slots are shared like this between the namespaces, and equally between the others.
fn shared(
    nodes: impl IntoIterator<Item = ObservedNode>,
    shares: impl IntoIterator<Item = (&'static str, NamespaceShare)>,
) -> Capacity {
    let named = shares.into_iter().map(|(namespace, share)| (namespace.to_owned(), share)).collect();
    let mut capacity = Capacity::new(NamespaceShares::new(NamespaceShare::default(), named));
    for node in nodes {
        capacity.node_set(node);
    }
    capacity
}

/// The pods that run, the oldest first, with their namespaces.
#[derive(Default)]
struct Running {
    pods: Vec<(Arc<str>, PodUid)>,
    made: usize,
}

impl Running {
    /// Has an order ask once more, and start all that it may on the node `a`.
    fn ask(&mut self, capacity: &mut Capacity, request: &Request) -> usize {
        let grant = capacity.reserve(request);
        for _ in 0..grant.slots {
            self.made += 1;
            let pod = uid(&format!("pod-{}", self.made));
            capacity.occupy(&pod, slot(&request.namespace, Some("a"), request.size));
            self.pods.push((request.namespace.clone(), pod));
        }
        capacity.confirm(&request.uid);
        grant.slots
    }

    /// Ends the oldest pod.
    fn end_oldest(&mut self, capacity: &mut Capacity) {
        let (_, pod) = self.pods.remove(0);
        assert!(capacity.release(&pod));
    }

    fn count(&self, namespace: &str) -> usize {
        self.pods.iter().filter(|(of, _)| **of == *namespace).count()
    }
}

fn on(pool: &str) -> Arc<Placement> {
    Arc::new(Placement {
        node_selector: BTreeMap::from([("pool".to_owned(), pool.to_owned())]),
        tolerations: Vec::new(),
    })
}

/// The table of W7 and its neighbours: each dimension binds once.
#[test]
fn slots_are_the_smallest_quotient() {
    for (memory, processors, storage, expected) in
        [(32, 8, 500, 4), (32, 8, 399, 3), (31, 8, 500, 3), (32, 7, 500, 3), (7, 8, 500, 0), (64, 64, 6400, 8)]
    {
        let found = slots(room(processors, memory, storage), world());
        assert_eq!(found, expected, "{memory} GB, {processors} cores, {storage} GB");
    }
    assert_eq!(slots(Resources { pods: 3, ..room(99, 999, 9999) }, world()), 3);
}

#[test]
fn decimal_and_binary_amounts_are_read() {
    let amounts = ResourceAmounts {
        cpu: Quantity("2".to_owned()),
        memory: Quantity("8G".to_owned()),
        ephemeral_storage: Quantity("100G".to_owned()),
    };
    let read = Resources::of_world(&amounts).unwrap();
    assert_eq!(read, Resources { processor: 2000, memory: 8_000_000_000, storage: 100_000_000_000, pods: 1 });
}

#[test]
fn what_does_not_fit_waits_with_its_place_in_the_queue() {
    let mut capacity = capacity([node("a", room(8, 32, 500))]);
    let first = capacity.reserve(&request("first", 0, 20, 5));
    assert_eq!((first.slots, first.place, first.total), (4, Some(1), 4));
    let second = capacity.reserve(&request("second", 0, 10, 1));
    assert_eq!((second.slots, second.place, second.waiting), (0, Some(2), 2));
}

#[test]
fn priority_goes_before_age() {
    let mut capacity = capacity([node("a", room(2, 8, 100))]);
    capacity.occupy(&uid("running"), slot("team", Some("a"), world()));
    assert_eq!(capacity.reserve(&request("old", 0, 100, 1)).place, Some(1));
    assert_eq!(capacity.reserve(&request("urgent", 5, 1, 1)).place, Some(1));
    assert_eq!(capacity.next_in_queue(9).collect::<Vec<_>>(), ["urgent", "old"]);
    capacity.release(&uid("running"));
    assert_eq!(capacity.reserve(&request("old", 0, 100, 1)).slots, 0);
    assert_eq!(capacity.reserve(&request("urgent", 5, 1, 1)).slots, 1);
}

#[test]
fn a_large_order_is_not_overtaken_by_small_ones() {
    let mut capacity = capacity([node("a", room(4, 64, 1000))]);
    capacity.occupy(&uid("running"), slot("team", Some("a"), Resources { pods: 1, ..room(2, 1, 1) }));
    let large = Request { size: Resources { pods: 1, ..room(4, 8, 100) }, ..request("large", 0, 100, 1) };
    assert_eq!(capacity.reserve(&large).slots, 0);
    assert_eq!(capacity.reserve(&request("small", 0, 1, 1)).slots, 0);
    capacity.release(&uid("running"));
    assert_eq!(capacity.reserve(&large).slots, 1);
}

#[test]
fn an_order_that_waits_for_other_nodes_holds_nobody_up() {
    let mut capacity = capacity([node("a", room(8, 32, 500)), node("b", room(2, 8, 100))]);
    capacity.occupy(&uid("running"), slot("team", Some("b"), world()));
    let picky = Request { placement: on("b"), ..request("picky", 9, 100, 1) };
    assert_eq!(capacity.reserve(&picky).slots, 0);
    assert_eq!(capacity.reserve(&request("plain", 0, 1, 4)).slots, 4);
}

#[test]
fn an_order_that_no_node_could_ever_hold_does_not_queue() {
    let mut capacity = capacity([node("a", room(1, 1, 1))]);
    let grant = capacity.reserve(&request("huge", 9, 100, 1));
    assert_eq!((grant.slots, grant.total, grant.place), (0, 0, None));
    assert_eq!(capacity.waiting(), 0);
    assert_eq!(grant.misfits, Some(Misfits { too_small: 1, ..Misfits::default() }));
}

#[test]
fn an_order_that_no_node_holds_is_remembered_until_one_does() {
    let mut capacity = capacity([ObservedNode { schedulable: false, ..node("a", room(8, 32, 500)) }]);
    let _ = capacity.reserve(&request("first", 0, 2, 1));
    let _ = capacity.reserve(&request("second", 0, 1, 1));
    assert_eq!(capacity.unplaceable().collect::<Vec<_>>(), ["first", "second"]);
    capacity.node_set(node("a", room(8, 32, 500)));
    let grant = capacity.reserve(&request("first", 0, 2, 1));
    assert_eq!((grant.slots, grant.misfits), (1, None));
    capacity.withdraw(&uid("second"));
    assert_eq!(capacity.unplaceable().count(), 0);
}

#[test]
fn taints_cordons_selectors_and_lost_nodes_are_respected() {
    let taint = Taint { key: "gpu".to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    let tainted = ObservedNode { taints: vec![taint], ..node("a", room(8, 32, 500)) };
    let cordoned = ObservedNode { schedulable: false, ..node("b", room(8, 32, 500)) };
    let lost = ObservedNode { readiness: Readiness::Lost, ..node("c", room(8, 32, 500)) };
    let capacity = capacity([tainted, cordoned, lost, node("d", room(8, 32, 500))]);
    assert_eq!(capacity.total(world(), &Placement::default()), 4);
    assert_eq!(capacity.total(world(), &on("b")), 0);
    let tolerant = |operator: &str, key: Option<&str>| Placement {
        tolerations: vec![Toleration {
            key: key.map(str::to_owned),
            operator: Some(operator.to_owned()),
            ..Toleration::default()
        }],
        ..Placement::default()
    };
    assert_eq!(capacity.total(world(), &tolerant("Exists", Some("gpu"))), 8);
    assert_eq!(capacity.total(world(), &tolerant("Exists", None)), 8);
    assert_eq!(capacity.total(world(), &tolerant("Equal", Some("other"))), 4);
}

#[test]
fn a_share_is_an_equal_part_of_the_largest_node() {
    let capacity = capacity([node("a", room(9, 40, 500)), node("b", room(2, 8, 100))]);
    let share = capacity.share(world(), &Placement::default());
    assert_eq!(share, Resources { processor: 2250, memory: 10 * GIB, storage: 125 * GIB, pods: 1 });
    assert_eq!(capacity.share(world(), &on("nowhere")), world());
}

#[test]
fn a_reservation_is_given_back_when_the_pods_hold_their_slots() {
    let mut capacity = capacity([node("a", room(8, 32, 500))]);
    assert_eq!(capacity.reserve(&request("first", 0, 2, 4)).slots, 4);
    assert_eq!(capacity.reserve(&request("second", 0, 1, 4)).slots, 0);
    capacity.occupy(&uid("pod"), slot("team", None, world()));
    capacity.confirm(&uid("first"));
    assert_eq!(capacity.reserve(&request("second", 0, 1, 4)).slots, 3);
}

/// W7: whoever came first, and whatever the priority is, a namespace that holds less gets the next slot.
#[test]
fn a_namespace_that_floods_the_queue_keeps_no_other_from_its_share() {
    let mut capacity = capacity([node("a", room(16, 64, 800))]);
    let mut running = Running::default();
    let flood: Vec<Request> = (0..20).map(|each| request(&format!("flood-{each}"), 1_000_000, 100, 50)).collect();
    let quiet = from("quiet", request("quiet", -1_000_000, 1, 6));
    for order in &flood {
        running.ask(&mut capacity, order);
    }
    assert_eq!((running.count("team"), running.ask(&mut capacity, &quiet)), (8, 0));
    let mut wanted = 6;
    for _ in 0..8 {
        running.end_oldest(&mut capacity);
        for order in &flood {
            running.ask(&mut capacity, order);
        }
        wanted -= running.ask(&mut capacity, &Request { want: wanted, ..quiet.clone() });
    }
    assert_eq!((running.count("team"), running.count("quiet")), (4, 4));
}

/// W7: the order that comes next is one of the namespace that holds least.
#[test]
fn who_is_woken_first_is_who_is_served_worst() {
    let mut capacity = capacity([node("a", room(2, 8, 100))]);
    capacity.occupy(&uid("running"), slot("team", Some("a"), world()));
    for order in ["team-1", "team-2", "team-3"] {
        assert_eq!(capacity.reserve(&request(order, 9, 100, 1)).slots, 0);
    }
    let quiet = capacity.reserve(&from("quiet", request("quiet", 0, 1, 1)));
    assert_eq!((quiet.place, quiet.waiting), (Some(1), 4));
    assert_eq!(capacity.next_in_queue(2).collect::<Vec<_>>(), ["quiet", "team-1"]);
}

#[test]
fn a_namespace_with_three_times_the_weight_gets_three_times_as_much() {
    let heavy = NamespaceShare { weight: NonZero::new(3).unwrap(), ..NamespaceShare::default() };
    let mut capacity = shared([node("a", room(16, 64, 800))], [("heavy", heavy)]);
    let mut running = Running::default();
    let orders = [from("light", request("light", 9, 100, 8)), from("heavy", request("heavy", 0, 1, 8))];
    running.ask(&mut capacity, &orders[0]);
    for _ in 0..16 {
        running.ask(&mut capacity, &orders[1]);
        running.end_oldest(&mut capacity);
        for order in &orders {
            running.ask(&mut capacity, order);
        }
    }
    assert_eq!((running.count("light"), running.count("heavy")), (2, 6));
}

#[test]
fn a_namespace_holds_no_more_than_its_limit_and_is_told() {
    let limited = NamespaceShare { limit: Some(3), ..NamespaceShare::default() };
    let mut capacity = shared([node("a", room(16, 64, 800))], [("limited", limited)]);
    let mut running = Running::default();
    let order = from("limited", request("many", 9, 100, 8));
    assert_eq!(running.ask(&mut capacity, &order), 3);
    let grant = capacity.reserve(&from("limited", request("more", 9, 100, 1)));
    assert_eq!((grant.slots, grant.limit, grant.place), (0, Some(3), Some(2)));
    assert_eq!(running.ask(&mut capacity, &request("others", 0, 1, 5)), 5, "the rest is free for others");
}

#[test]
fn no_more_of_a_priority_counts_than_the_namespace_may_use() {
    let capped = NamespaceShare { max_priority: 5, ..NamespaceShare::default() };
    let mut capacity = shared([node("a", room(2, 8, 100))], [("capped", capped)]);
    capacity.occupy(&uid("running"), slot("third", Some("a"), world()));
    let _ = capacity.reserve(&from("capped", request("loud", 1_000_000, 100, 1)));
    let _ = capacity.reserve(&request("important", 6, 1, 1));
    assert_eq!(capacity.next_in_queue(9).collect::<Vec<_>>(), ["important", "loud"]);
}

/// W7: what cannot start now keeps others from the nodes only as far as its namespace's fair share goes.
#[test]
fn an_order_that_is_hard_to_place_keeps_no_namespace_below_its_fair_share_waiting() {
    let mut capacity = capacity([node("a", room(16, 64, 800))]);
    // A small World of the namespace that holds out keeps the whole node from ever being free.
    capacity.occupy(&uid("tiny"), slot("greedy", Some("a"), Resources { pods: 1, ..room(1, 1, 1) }));
    let whole = Resources { pods: 1, ..room(16, 64, 800) };
    let large = from("greedy", Request { size: whole, ..request("large", 1_000_000, 100, 50) });
    assert_eq!(capacity.reserve(&large).slots, 0);
    assert_eq!(capacity.reserve(&from("greedy", request("small", 0, 1, 1))).slots, 0, "its own orders wait behind it");
    let mut running = Running::default();
    assert_eq!(running.ask(&mut capacity, &request("others", 0, 1, 8)), 4, "half of the node is theirs");
    running.end_oldest(&mut capacity);
    assert_eq!(running.ask(&mut capacity, &request("others", 0, 1, 8)), 1);
}

/// W7: what a refused order had, it does not have while it waits for its next try.
#[test]
fn an_order_that_gave_up_holds_nothing_and_has_no_place() {
    let mut capacity = capacity([node("a", room(8, 32, 500))]);
    let refused = request("refused", 1_000_000, 100, 50);
    assert_eq!(capacity.reserve(&refused).slots, 4);
    assert_eq!(capacity.reserve(&request("other", 0, 1, 4)).slots, 0);
    capacity.confirm(&refused.uid);
    capacity.withdraw(&refused.uid);
    assert_eq!(capacity.reserve(&request("other", 0, 1, 4)).slots, 4);
    assert_eq!(capacity.waiting(), 0);
}

proptest! {
    /// Whatever comes and goes, the pods that hold a slot fit the nodes.
    #[test]
    fn never_more_is_granted_than_the_nodes_hold(steps in prop::collection::vec((0..6_usize, 0..4_usize, -2..3_i32), 1..60)) {
        let mut capacity = capacity([node("a", room(8, 32, 500)), node("b", room(4, 16, 200))]);
        let mut running: Vec<String> = Vec::new();
        for (step, (want, ends, priority)) in steps.into_iter().enumerate() {
            let order = format!("order-{}", step % 7);
            let grant = capacity.reserve(&request(&order, priority, i64::try_from(step)?, want));
            prop_assert!(grant.slots <= want);
            for index in 0..grant.slots {
                let pod = format!("{step}-{index}");
                capacity.occupy(&uid(&pod), slot("team", None, world()));
                running.push(pod);
            }
            capacity.confirm(&uid(&order));
            prop_assert!(running.len() <= 6);
            for _ in 0..ends.min(running.len()) {
                let pod = running.remove(0);
                prop_assert!(capacity.release(&uid(&pod)));
            }
        }
    }
}

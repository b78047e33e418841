//! Manifests in which every field is given, so that every bound of the schema can be tried on one of them.

use serde_json::{Value, json};

/// Returns a WorkOrder with every field.
pub fn order(name: &str) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "WorkOrder",
        "metadata": {"name": name},
        "spec": {
            "source": {"git": {
                "url": "https://example.com/repository.git", "revision": "main", "secretRef": {"name": "credential"},
            }},
            "task": {
                "title": "Fix the bug", "body": "It is wrong.", "mode": "Build",
                "issue": {"url": "https://example.com/issues/270", "number": 270},
            },
            "worlds": worlds(),
            "worker": worker(),
            "evaluation": evaluation(),
            "council": {
                "voters": [{"name": "one", "model": "a", "stance": "careful"}, {"name": "two", "model": "b"}],
                "quorum": 2, "maxRetries": 3, "onFailure": "HighestScore",
            },
            "retry": {
                "maxAttempts": 3, "baseDelay": "1s", "multiplier": 2, "maxDelay": "1m",
                "rules": [
                    {"onClass": "Worker", "action": "Retry"},
                    {"onExitCodes": [3], "action": "FailWorld"},
                    {"onPodConditions": ["DisruptionTarget"], "action": "Ignore"},
                ],
            },
            "fallbacks": [
                {"acceptPartialSuccess": {"minWorlds": 1}},
                {"retryWithLowerTemperature": {"reduction": 0.2}},
                {"switchModel": {"model": "b"}},
                {"waitForHuman": {"timeout": "1h"}},
                {"skip": {}},
            ],
            "budget": {"maxCost": "5.00", "maxTokens": 1000, "onExceeded": "Pause", "budgetRef": {"name": "team"}},
            "earlyTermination": {"score": 95, "afterEligible": 3},
            "approval": "NotRequired",
            "delivery": {
                "mode": "None", "forge": "https://example.com/api", "secretRef": {"name": "forge"}, "labels": ["bot"],
            },
            "priority": 0,
            "suspend": false,
            "cancel": false,
            "reevaluate": {"request": "after the repair", "world": "alpha"},
            "deadlines": {"start": "1h", "active": "2h"},
            "ttl": {"afterSuccess": "1h", "afterFailure": "2h"},
        },
    })
}

fn worlds() -> Value {
    json!({
        "min": 1,
        "parallelism": 2,
        "sizing": {"mode": "Fixed", "perWorld": {"cpu": "1", "memory": "1Gi", "ephemeralStorage": "1Gi"}},
        "variants": [
            {
                "name": "alpha", "model": "a", "temperature": 0.5, "prompt": "careful", "weight": 1,
                "worker": {"command": ["fix"], "env": [{"name": "LEVEL", "value": "1"}]},
            },
            {"name": "beta"},
        ],
    })
}

fn worker() -> Value {
    json!({
        "plugin": "command",
        "model": "house-model",
        "image": "docker.io/library/python:3",
        "command": ["fix"],
        "env": [{"name": "LEVEL", "value": "0"}],
        "phaseTimeouts": {"coding": "30m", "testing": "45m"},
        "podTemplate": {
            "labels": {"team": "a"},
            "annotations": {"note": "a"},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [
                {"key": "gpu", "operator": "Equal", "value": "a", "effect": "NoExecute", "tolerationSeconds": 60},
            ],
            "affinity": affinity(),
            "imagePullSecrets": [{"name": "pull"}],
            "runtimeClassName": "gvisor",
            "priorityClassName": "low",
            "schedulerName": "other",
            "volumes": [
                {"name": "settings", "mountPath": "/etc/settings", "configMap": {"name": "settings"}},
                {"name": "cache", "mountPath": "/cache", "persistentVolumeClaim": {"claimName": "cache"}},
                {"name": "scratch", "mountPath": "/scratch", "emptyDir": {"sizeLimit": "1Gi"}},
            ],
        },
    })
}

fn affinity() -> Value {
    let selector = json!({
        "matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}], "matchLabels": {"app": "a"},
    });
    let pod_term = json!({
        "labelSelector": selector, "namespaceSelector": selector, "namespaces": ["team"], "topologyKey": "zone",
        "matchLabelKeys": ["app"], "mismatchLabelKeys": ["tier"],
    });
    let near = json!({
        "requiredDuringSchedulingIgnoredDuringExecution": [pod_term],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": pod_term}],
    });
    let node_term = json!({
        "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}],
    });
    json!({
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [node_term]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": node_term}],
        },
        "podAffinity": near,
        "podAntiAffinity": near,
    })
}

fn evaluation() -> Value {
    json!({
        "protectedPaths": ["tests/**"],
        "toolFiles": "Protected",
        "keep": ["target/"],
        "acceptScore": 70,
        "gates": [
            {
                "name": "tests", "kind": "Test", "command": ["pytest"], "report": "junit.xml", "points": 60,
                "canary": {"passing": {"command": ["true"]}, "failing": {"command": ["false"]}},
                "required": true, "timeout": "5m",
            },
            {"name": "size", "kind": "Size", "points": 40},
        ],
        "image": "docker.io/library/python:3",
        "sealing": "Required",
        "network": "None",
        "maxChangedLines": 100,
        "maxPatchBytes": 10000,
    })
}

/// Returns a World with every field.
pub fn world(name: &str) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "World",
        "metadata": {"name": name},
        "spec": {
            "order": {"name": "fix-270", "uid": "0b9c"},
            "variant": {"name": "alpha", "index": 0, "model": "a", "temperature": 0.5, "prompt": "careful"},
            "blueprint": {
                "plugin": "command", "image": "docker.io/library/python:3", "command": ["fix"],
                "env": [{"name": "LEVEL", "value": "0"}],
                "resources": {"cpu": "1", "memory": "1Gi", "ephemeralStorage": "1Gi"},
            },
        },
    })
}

/// Returns a Provider with every field.
pub fn provider(name: &str) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "Provider",
        "metadata": {"name": name},
        "spec": {
            "protocol": "OpenAI",
            "baseUrl": "https://api.example.com/v1",
            "secretRef": {"name": "key", "key": "apiKey"},
            "models": [
                {
                    "name": "large", "contextWindow": 200_000, "maxOutputTokens": 64_000, "strength": 90,
                    "temperature": "Fixed",
                    "prices": {
                        "input": "3.00", "output": "15.00", "cached": "0.30", "cacheWrite5m": "3.75",
                        "cacheWrite1h": "6.00", "reasoning": "15.00", "batchPercent": 50,
                        "tiers": [
                            {
                                "above": 200_000, "input": "6.00", "output": "22.50", "cached": "0.60",
                                "cacheWrite5m": "7.50", "cacheWrite1h": "12.00", "reasoning": "22.50",
                            },
                            {"above": 400_000, "input": "12.00", "output": "45.00"},
                        ],
                    },
                },
                {"name": "small"},
            ],
            "limits": {
                "requestsPerMinute": 50, "tokensPerMinute": 40_000, "inputTokensPerMinute": 30_000,
                "outputTokensPerMinute": 8_000, "concurrency": 10, "maxWait": "2m",
            },
            "breaker": {"failures": 5, "openFor": "60s", "successes": 2},
            "timeouts": {"connect": "10s", "firstByte": "10m", "idle": "2m", "total": "30m"},
            "retries": {"maxAttempts": 3},
        },
    })
}

/// Returns a Budget with every field.
pub fn budget(name: &str) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1",
        "kind": "Budget",
        "metadata": {"name": name},
        "spec": {
            "amount": "100.00",
            "period": "Month",
            "timeZone": "Europe/Berlin",
            "selector": {
                "matchLabels": {"team": "a"},
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["x"]},
                    {"key": "free", "operator": "DoesNotExist"},
                ],
            },
            "warnAt": [50, 80, 95],
            "onExceeded": "Pause",
        },
    })
}

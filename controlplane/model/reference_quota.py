"""What the reference page of QuotaPolicy says beyond its tables: recipes, algorithms, failures."""

from __future__ import annotations

from typing import Final

from controlplane.model.quota_windows import MAX_RATE

INTRODUCTION: Final = f"""
For services that must share what they have: an API with so many calls a minute for each key, a
model whose tokens cost money, a login that must not be tried a thousand times. The counters are
in Redis, so the limits hold over all proxies together, and they are exact under any concurrency.

Attached to a Gateway, to an HTTPRoute, or to one named rule of it, in the same namespace. A
request on a rule obeys the policies of its gateway, of its route and of the rule, all of them. Of
two policies on the very same target the older wins, by `metadata.creationTimestamp`, then by
namespace and name; the other says so in its conditions.

Samples: [requests a minute](../../manifests/samples/quota-requests/shop.yaml),
[tokens of a model](../../manifests/samples/quota-tokens/shop.yaml).
Each can be watched on one machine: `sluice demo --sample quota-requests`.

## Two recipes

N requests a minute for each value of a header, the rest get 429:

```yaml
apiVersion: sluice.dev/v1alpha1
kind: QuotaPolicy
metadata: {{name: qpm, namespace: shop}}
spec:
  targetRefs: [{{kind: HTTPRoute, name: shop}}]
  limits:
    - name: per-key
      key: [{{header: x-api-key}}]
      requests: 60
      per: 1m
```

Tokens of a model API, as its answers count them (`{{"usage": {{"total_tokens": 42}}}}`). Once the
minute's tokens are spent, the next call is refused and nothing reaches the model:

```yaml
apiVersion: sluice.dev/v1alpha1
kind: QuotaPolicy
metadata: {{name: model-api, namespace: shop}}
spec:
  targetRefs: [{{kind: HTTPRoute, name: models}}]
  limits:
    - name: tokens
      key: [{{header: x-api-key, required: true}}]
      tokens: 10000
      per: 1m
      cost: {{response: {{reserve: 500}}}}
```

## Consumers

`key` says whose units are counted. Its parts are joined: `[{{header: x-api-key}}, {{path: {{}}}}]`
counts each key on each path for itself. Without `key` everybody shares one counter. A request that
lacks a part is left alone by the limit, unless the part is `required`. Values are taken as they
come: the filter does not check that a key is genuine.

`overrides` give other numbers to some consumers, or none at all; the first one that fits counts,
so write the single ones before those with a `*`. What an override does not say stays.

## Algorithms

Time is Redis's, so windows begin and end for all proxies at once.

| algorithm | what it does | good for |
|---|---|---|
| `FixedWindow` | Counts in windows of length `per`, one after the other since 1970 (UTC). Two \
windows' worth may pass around a border. | quotas that people must understand |
| `SlidingWindow` | As FixedWindow, and adds the window before with the share of it that the last \
`per` still covers. No bursts at borders; costs as much. | protection of a backend |
| `TokenBucket` | A bucket of `burst` units that refills evenly, `requests` or `tokens` in each \
`per` (GCRA: no timer runs). At most {MAX_RATE:,} units a second. | even rates, with bursts |
| `Calendar` | Counts by the minute, hour, day, week (from Monday), month or year of `timeZone`. A \
month is a month, and a day in which the clocks change has 23 or 25 hours. | billing, allowances |

Several `windows` in one limit, and several limits, are decided together, all or nothing: a request
that one of them refuses takes nothing from the others.

## Costs

A request takes one unit, or `cost.number`, or what the request header `cost.header` says, or (of
`tokens`) what the response says. `cost.response` reads numbers by JSON pointer and adds them up, by
weight: `input: {{}}, cached: {{weight: 0.1}}, output: {{weight: 3}}` charges cached tokens a tenth
and the answer's thrice. The sum is rounded up.

A response is known only when it is over, so a limit of tokens lets a request start as long as one
unit is left, and many at once may overdraw it by what they cost together. `reserve` holds an
estimate from the start: requests for which it is not free are refused, and at the end the true cost
takes its place. What was overdrawn counts: nothing passes until it is paid off, or the window ends.

Streams (`text/event-stream`) are read as they pass and are not held up; of the events that carry
numbers the last one counts (OpenAI sends them with `stream_options: {{"include_usage": true}}`).
Where responses are read the filter takes `accept-encoding` off the request.

| the response | is charged |
|---|---|
| tells its usage | the usage |
| 2xx without usage, or compressed all the same | the reserve; the metrics `no_usage` and \
`unreadable` count them |
| 3xx or 4xx without usage | nothing |
| 5xx, an upstream that cannot be reached, a client that went away | nothing |

A reservation that nobody settles, as when a proxy dies, is given back after `reserveTtl`.

## Answers

A refused request gets 429 with `Retry-After`; gRPC clients get the status RESOURCE_EXHAUSTED.
Answers that pass tell the state too: `RateLimit-Policy: "per-key";q=60;w=60` for each window, and
`RateLimit: "per-key";r=59;t=42` for the one with the least room (`r` units left, `t` seconds until
the window begins anew), as draft-ietf-httpapi-ratelimit-headers has them. Further windows of a
limit are called `per-key.2` and so on. `headers.xRateLimit` adds the older `X-RateLimit-Limit`,
`X-RateLimit-Remaining` and `X-RateLimit-Reset`.

## Trying a limit

`mode: Shadow` counts and refuses nobody: the metric `shadow_limited` tells whom it would have hit.
`enforcePercent` enforces a limit for a share of the consumers, always the same ones, and shadows it
for the others.

## When Redis is away

`onRedisFailure` says it for each limit. No request waits longer than the deadline,
`EdgeConfig.spec.redis.timeout`.

| value | meanwhile |
|---|---|
| `Allow` | The limit does not count; requests pass, and are counted by reason in the metrics. |
| `Deny` | `responses.unavailable`: 503, try again in a second. |
| `Local` | Each worker counts for itself, with its share of the limit: the amount divided by the \
workers of all proxies, at least 1. |

One limit of `Deny` is enough to refuse a request. A consumer that is known to be over its limit is
refused without asking Redis, for a second at most.

## What a change does

| change | counters |
|---|---|
| an amount, `burst`, `cost`, `overrides`, `mode`, responses | go on: a new amount holds at once, \
against what is used already |
| `per`, `unit`, `timeZone`, `algorithm` | begin anew; changed back in time, the old ones go on |
| the name of a limit or of the policy, how many parts `key` has, `plain` | begin anew |

Counters that nobody uses expire with their windows.
"""

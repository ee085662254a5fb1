// What the scenarios share: where the server is, one way to post, and what every answer must look like.
// `loadtest/run` starts the server and says in the environment where its webhooks are.

import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';
import exec from 'k6/execution';

const base = __ENV.BASE || 'http://127.0.0.1:8080';
if (!/^http:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?$/.test(base)) {
  throw new Error(`BASE is ${base}: these scripts load a server on this machine and nothing else`);
}
export const secret = __ENV.SECRET;
// The webhooks that `loadtest/run` installs: what they promise is what the scenarios hold them to.
export const url = {
  kept: `${base}/${__ENV.KEPT_ID}`, // every event goes to a file, which is compared with the answers at the end
  guarded: `${base}/${__ENV.GUARDED_ID}`, // the same, behind `secret`, for pages of https://allowed.example
  small: `${base}/${__ENV.SMALL_ID}`, // takes bodies up to 4,096 bytes
  sink: `${base}/${__ENV.SINK_ID}`, // events are counted and dropped: the cost of taking them in, alone
  unknown: `${base}/00000000-0000-4000-8000-00000000dead`,
};

// Answers 200 to `kept` and `guarded`: exactly as many events must stand in the file.
export const kept = new Counter('events_kept');
// Answers 503 that say when to come back: what a full server may answer, and nothing else.
export const shed = new Counter('requests_shed');

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
let turn = 0;

// A JSON document of about `bytes` bytes, different each time: its `n` tells the file's lines apart.
export function document(bytes, more = {}) {
  const n = `${exec.vu.idInTest}-${turn++}`;
  const value = { n, type: 'push', repository: { id: 4217, full_name: 'inrush/inrush', private: false }, ...more };
  const short = JSON.stringify(value);
  const missing = bytes - short.length - ',"commits":""'.length;
  return missing > 0 ? `${short.slice(0, -1)},"commits":"${'0123456789abcdef'.repeat(Math.ceil(missing / 16)).slice(0, missing)}"}` : short;
}

// Sends, and checks the status, what must come with it, and that nothing else came.
export function send(name, method, to, body, headers, expected) {
  const answer = http.request(method, to, body, {
    headers,
    tags: { name },
    timeout: '60s',
    responseCallback: http.expectedStatuses(...expected),
  });
  const got = (header) => answer.headers[Object.keys(answer.headers).find((key) => key.toLowerCase() === header)];
  check(answer, { [`${name}: answers ${expected.join(' or ')}`]: () => expected.includes(answer.status) });
  if (answer.status === 200) {
    check(answer, { 'a 200 is empty and names its event': () => !answer.body && uuid7.test(got('x-event-id') || '') });
    if (to.startsWith(url.kept) || to.startsWith(url.guarded)) kept.add(1);
  }
  if (answer.status === 503) {
    shed.add(1);
    check(answer, { 'a 503 says when to come back': () => Number(got('retry-after')) > 0 });
  }
  if (answer.status >= 400) {
    check(answer, {
      'a refusal is a problem document with a code': () =>
        (got('content-type') || '').startsWith('application/problem+json') && /^[a-z0-9_]+$/.test(answer.json('code')),
    });
  }
  return { status: answer.status, got, json: (path) => answer.json(path) };
}

export const json = { 'content-type': 'application/json' };
export const post = (name, to, body, expected = [200]) => send(name, 'POST', to, body, json, expected);

// Options that every scenario starts from: answers are as expected, always, and the run ends by itself.
export function options(scenarios, thresholds) {
  return {
    scenarios,
    discardResponseBodies: false,
    noVUConnectionReuse: false,
    summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
    thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'], ...thresholds },
  };
}

// A second implementation of the credit engine credit/1, written from the text
// of ../../FORMAT.md alone. It shares no code with the first: where the two
// agree, the text was enough. Section numbers are those of FORMAT.md.
//
//   node credit.mjs [--trees] [world.json …]
//
// It reads one world from each file, or, without files, one world from each
// line of standard input, and prints a line for each: the result digest (§8),
// or "refused" and the reason when the world breaks a must. With --trees the
// digest of the runs' trees follows (see treeDigest). --statements prints the
// payee statements instead, one a line. The exit status is 1 if a world was
// refused.
//
// It is plain: BigInt for every amount, and each run is made at the close of
// its period, so that no later effect can reach it.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

// §1. Numbers and names.

class Refused extends Error {}

/** must refuses the world unless ok. */
function must(ok, what) {
  if (!ok) throw new Refused(what);
}

const maxAmount = (1n << 128n) - 1n;
const maxRecord = (1n << 127n) - 1n;
const maxWeight = (1n << 63n) - 1n;
const million = 1_000_000n;

const abs = (a) => (a < 0n ? -a : a);
const ten = (n) => 10n ** BigInt(n);

/** floorDiv is ⌊a/b⌋ for b > 0; BigInt's own division rounds towards 0. */
function floorDiv(a, b) {
  const q = a / b;
  return a % b < 0n ? q - 1n : q;
}

/** fits returns an amount that is within §1's limit. */
function fits(a) {
  must(abs(a) <= maxAmount, 'an amount is out of range');
  return a;
}

const decimal = /^-?(0|[1-9][0-9]*)$/;

/** number reads a decimal string between min and max; absent is 0. */
function number(text, min, max, what) {
  if (text === undefined) text = '0';
  must(typeof text === 'string' && decimal.test(text) && text !== '-0', `${what} is not a decimal string`);
  const n = BigInt(text);
  must(n >= min && n <= max, `${what} is out of range`);
  return n;
}

const minorAmount = (text, what) => number(text, 0n, maxRecord, what);

/** identifier checks a name: 1 to 255 bytes of 0x21 to 0x7D without " and \. */
function identifier(name, what) {
  must(typeof name === 'string' && /^[\x21\x23-\x5b\x5d-\x7d]{1,255}$/.test(name), `${what} is not an identifier`);
  return name;
}

/** bytewise orders identifiers; they are ASCII, so code units are bytes. */
const bytewise = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** month turns YYYY-MM into a count of months; months compare as numbers. */
function month(text, what) {
  const m = /^([0-9]{4})-(0[1-9]|1[0-2])$/.exec(typeof text === 'string' ? text : '');
  must(m, `${what} is not a period`);
  return Number(m[1]) * 12 + Number(m[2]) - 1;
}

const monthText = (m) =>
  String(Math.floor(m / 12)).padStart(4, '0') + '-' + String((m % 12) + 1).padStart(2, '0');

/** weights reads shares: unique parties, weights > 0, their sum = total. */
function weights(list, total, what) {
  must(Array.isArray(list) && list.length >= 1 && list.length <= 10_000, `${what}: 1 to 10,000 parties`);
  const by = new Map();
  let sum = 0n;
  for (const { id, weight } of list) {
    identifier(id, what);
    must(!by.has(id), `${what}: ${id} stands twice`);
    by.set(id, number(weight, 1n, maxWeight, what));
    sum += by.get(id);
  }
  must(sum <= maxWeight, `${what}: the weights are too many`);
  must(sum === number(total, 1n, maxWeight, `${what}: total`), `${what}: total is not the sum of the weights`);
  return { by, total: sum };
}

/** add adds an amount to an entry of a map in which 0 is absent. */
function add(map, key, amount) {
  const sum = fits((map.get(key) ?? 0n) + amount);
  if (sum === 0n) map.delete(key);
  else map.set(key, sum);
}

/** inner returns the map at key of a map of maps. */
function inner(map, key) {
  if (!map.has(key)) map.set(key, new Map());
  return map.get(key);
}

// §2. apportion(a, weights)

/** apportion divides a among the keys of by, a Map of key to weight. */
function apportion(a, by, order = bytewise) {
  const negative = a < 0n;
  const amount = abs(a);
  let whole = 0n;
  for (const w of by.values()) whole += w;
  must(whole > 0n, 'apportion: no weight');
  let left = amount;
  const parts = [];
  for (const [key, w] of by) {
    const q = (amount * w) / whole;
    parts.push({ key, q, r: (amount * w) % whole });
    left -= q;
  }
  parts.sort((x, y) => (x.r > y.r ? -1 : x.r < y.r ? 1 : order(x.key, y.key)));
  const result = new Map();
  for (const { key, q } of parts) {
    let part = q;
    if (left > 0n) {
      part += 1n;
      left -= 1n;
    }
    result.set(key, negative ? -part : part);
  }
  return result;
}

// §4.2's own part. It is the JavaScript value null in maps of edges, so that
// no statement can be called that; it sorts after every identifier.
const self = null;
const selfLast = (a, b) => (a === self ? 1 : b === self ? -1 : bytewise(a, b));

// §3. Effects.

class Engine {
  constructor(firstPeriod) {
    this.first = month(firstPeriod, 'firstPeriod');
    this.open = this.first;
    this.currencies = new Map(); // code -> currency, with the state its runs leave
    this.nodes = new Map(); // statement -> node, in the order of their places
    this.works = new Set();
    this.agreements = new Map();
    this.inForce = new Map(); // work -> agreements, in the order they came in force
    this.comings = 0; // how many agreements came in force
    this.events = new Map();
    this.resolutions = new Set();
    this.payouts = new Map();
    this.adjustments = new Set();
    this.retro = new Set(); // agreements in effect from their effectivePeriod on, while §3.5 recomputes
    this.runs = [];
  }

  apply(effect) {
    const known = ['currency', 'close', 'node', 'sign', 'withdraw', 'agreement', 'event', 'resolution', 'payout', 'payoutResult', 'adjustment'];
    must(known.includes(effect.op), `there is no effect ${effect.op}`);
    this[effect.op](effect);
  }

  /** once reads a statement's name, which must be new in its kind. */
  once(kind, statement) {
    identifier(statement, 'statement');
    must(!kind.has(statement), `${statement} stands twice`);
    return statement;
  }

  nodeOf(statement) {
    const n = this.nodes.get(statement);
    must(n, `there is no node ${statement}`);
    return n;
  }

  currencyOf(code) {
    const c = this.currencies.get(code);
    must(c, `there is no currency ${code}`);
    return c;
  }

  currency({ code, minorDigits = 0, fineDigits = 0 }) {
    this.once(this.currencies, code);
    must(Number.isInteger(minorDigits) && Number.isInteger(fineDigits), 'digits are whole numbers');
    must(0 <= minorDigits && minorDigits <= fineDigits && fineDigits <= 24, '0 ≤ minorDigits ≤ fineDigits ≤ 24');
    this.currencies.set(code, {
      code,
      minor: ten(fineDigits - minorDigits),
      counted: [], // events that count in the open period, in the order they came to count
      volume: 0n, // Σ |fine amount| of them
      paid: new Map(), // party -> fine units paid in the open period; 0 stands if payments cancel out
      balance: new Map(), // party -> fine units
      held: new Map(), // node statement -> party -> fine units
      past: new Map(), // closed period -> the events that counted in it
      applied: new Map(), // closed period -> agreements of its adjustments, in the order of the log
      adjusted: [], // moves of the open period
    });
  }

  close({ period }) {
    must(month(period, 'period') === this.open, `the open period is ${monthText(this.open)}`);
    const codes = [...this.currencies.keys()].sort(bytewise);
    for (const c of this.currencies.values()) c.past.set(this.open, [...c.counted]);
    for (const code of codes) this.runs.push(this.run(this.currencies.get(code)));
    this.open += 1;
  }

  // §3.1 Nodes

  node(e) {
    this.once(this.nodes, e.statement);
    const contributors = weights(e.contributors, e.total, 'contributors');
    const signers = new Set(e.signers ?? []);
    for (const s of signers) must(contributors.by.has(s), `the signer ${s} is no contributor`);
    const edges = e.edges ?? [];
    must(edges.length <= 1024, 'at most 1,024 edges');
    const flow = new Map();
    let sum = 0n;
    let depth = 1;
    for (const { statement, weight } of edges) {
      depth = Math.max(depth, this.nodeOf(statement).depth + 1);
      must(!flow.has(statement), `the edge to ${statement} stands twice`);
      const w = number(weight, 1n, maxWeight, 'edge');
      flow.set(statement, w);
      sum += w;
    }
    must(depth <= 64, 'the depth is at most 64');
    let own = number(e.selfWeight, 0n, maxWeight, 'selfWeight');
    let total = number(e.edgeTotal, 0n, maxWeight, 'edgeTotal');
    if (edges.length === 0 && e.selfWeight === undefined && e.edgeTotal === undefined) own = total = 1n;
    must(total > 0n && own + sum === total, 'edgeTotal is not the sum of the edges and selfWeight');
    flow.set(self, own);
    let pool = null;
    const onWithdraw = e.onWithdraw ?? '';
    must(['', 'keep', 'hold', 'pool'].includes(onWithdraw), `there is no onWithdraw ${onWithdraw}`);
    if (onWithdraw === 'pool') pool = this.nodeOf(e.pool);
    identifier(e.publisher, 'publisher');
    if (e.agreement) must(this.agreements.get(e.agreement)?.work === e.work, `${e.agreement} is no agreement of this work`);
    this.works.add(e.work);
    this.nodes.set(e.statement, {
      statement: e.statement,
      work: identifier(e.work, 'work'),
      place: this.nodes.size,
      depth,
      contributors,
      signed: signers,
      flow,
      agreement: e.agreement ?? '',
      onWithdraw,
      pool,
      withdrawn: false,
      pooledFrom: Infinity, // the first snapshot that flows to the pool
      rulings: [], // in the order of the log
    });
  }

  // "sign: the party signed the node of that name; without one, the agreement."
  sign({ statement, party }) {
    identifier(party, 'party');
    const n = this.nodes.get(statement);
    if (n) {
      must(n.contributors.by.has(party), `${party} is no contributor of ${statement}`);
      n.signed.add(party);
      return;
    }
    const a = this.agreements.get(statement);
    must(a, `there is nothing to sign called ${statement}`);
    a.missing.delete(party);
    this.completeIfSigned(a);
  }

  // §3.2 Agreements

  agreement(e) {
    this.once(this.agreements, e.statement);
    const effective = month(e.effectivePeriod, 'effectivePeriod');
    must(effective > this.open || e.retroactive === true, 'effectivePeriod is not after the open one');
    const shares = weights(e.shares, e.total, 'shares');
    const required = e.required ?? [];
    const signers = new Set(e.signers ?? []);
    for (const p of [...required, ...signers]) identifier(p, 'party');
    must(this.works.has(e.work), `there is no work ${e.work}`);
    must(effective >= this.first, 'effectivePeriod is before the first');
    if (e.supersedes) must(this.agreements.get(e.supersedes)?.work === e.work, `${e.supersedes} is no agreement of this work`);
    const a = {
      statement: e.statement,
      work: identifier(e.work, 'work'),
      effective,
      supersedes: e.supersedes ?? '',
      shares,
      missing: new Set(required.filter((p) => !signers.has(p))),
      complete: false,
      from: Infinity, // never in force
      mark: 0,
      came: 0,
      retroactive: e.retroactive === true,
    };
    this.agreements.set(a.statement, a);
    this.completeIfSigned(a);
  }

  completeIfSigned(a) {
    if (a.complete || a.missing.size > 0) return;
    a.complete = true;
    if (!this.inForce.has(a.work)) this.inForce.set(a.work, []);
    const inForce = this.inForce.get(a.work);
    const newest = inForce.at(-1)?.statement ?? '';
    if (a.supersedes !== newest) return;
    a.from = Math.max(a.effective, this.open + 1);
    a.mark = this.nodes.size;
    a.came = ++this.comings;
    inForce.push(a);
  }

  /** shares(n, p) of §3.2. */
  shares(n, p) {
    let last = null;
    const consider = (a) => {
      if (!a || a.came === 0) return;
      const from = this.retro.has(a) ? a.effective : a.from;
      if (from <= p && (!last || a.came > last.came)) last = a;
    };
    for (const a of this.inForce.get(n.work) ?? []) if (a.mark > n.place) consider(a);
    consider(this.agreements.get(n.agreement));
    if (last) return { ...last.shares, agreed: true };
    return { ...n.contributors, agreed: false };
  }

  // §3.3 Events

  event(e) {
    this.once(this.events, e.statement);
    must(['income', 'receipt', 'refund', 'chargeback'].includes(e.kind), `there is no kind ${e.kind}`);
    const n = this.nodeOf(e.node);
    const c = this.currencyOf(e.currency);
    const net = minorAmount(e.netMinor, 'netMinor');
    const ev = { statement: e.statement, kind: e.kind, node: n, currency: c, net, counts: false };
    ev.fine = net * c.minor;
    must(ev.fine <= maxRecord, 'the fine amount is out of range');
    ev.settlement = e.settlement || 'gross';
    must(['gross', 'upstream-only'].includes(ev.settlement), `there is no settlement ${ev.settlement}`);
    if (e.kind === 'income') this.income(ev, e);
    else this.ofIncome(ev, e);
    this.events.set(ev.statement, ev);
  }

  income(ev, e) {
    ev.snapshot = month(e.period, 'period');
    must(this.first <= ev.snapshot && ev.snapshot <= this.open, 'period is not one from the first to the open one');
    must(e.of === undefined || e.of === '', 'an income is of nothing');
    ev.adjustments = []; // its refunds and chargebacks, in the order of the log
    ev.adjusted = 0n;
    ev.received = 0n;
    if (e.operator === true) {
      this.count(ev);
      return;
    }
    ev.due = ev.net;
    if (ev.settlement === 'upstream-only') {
      const kept = apportion(ev.fine, ev.node.flow, selfLast).get(self);
      ev.due = (ev.fine - kept) / ev.currency.minor;
    }
  }

  ofIncome(ev, e) {
    const income = this.events.get(e.of);
    must(income?.kind === 'income', `there is no income ${e.of}`);
    must(income.node === ev.node && income.currency === ev.currency, `${e.of} is of another node or currency`);
    must(e.operator === true, `a ${e.kind} is the operator's`);
    ev.snapshot = income.snapshot;
    ev.settlement = income.settlement;
    if (e.kind === 'receipt') {
      income.received = fits(income.received + ev.net);
      if (!income.counts && income.received >= income.due) {
        this.count(income);
        for (const a of income.adjustments) this.count(a);
      }
      return;
    }
    ev.fine = -ev.fine;
    income.adjusted += ev.net;
    must(income.adjusted <= income.net, `more than ${e.of} is taken back`);
    income.adjustments.push(ev);
    if (income.counts) this.count(ev);
  }

  /** count makes an event count in the open period. */
  count(ev) {
    ev.counts = true;
    ev.currency.counted.push(ev);
    ev.currency.volume += abs(ev.fine);
    must(ev.currency.volume <= maxRecord, 'what counts in a period is out of range');
  }

  // §3.4 Rulings and withdrawals

  resolution(e) {
    this.once(this.resolutions, e.statement);
    this.resolutions.add(e.statement);
    must(['hold', 'release', 'dismiss', 'reallocate'].includes(e.ruling), `there is no ruling ${e.ruling}`);
    const ruling = { kind: e.ruling, since: this.open + 1, lapses: true };
    if (e.ruling === 'reallocate') {
      ruling.shares = weights(e.shares, e.total, 'shares');
    } else {
      must((e.total ?? '0') === '0', `a ${e.ruling} has no total`);
      must((e.shares ?? []).length === 0, `a ${e.ruling} has no shares`);
    }
    this.nodeOf(e.node).rulings.push(ruling);
  }

  withdraw({ statement }) {
    const n = this.nodeOf(statement);
    if (n.withdrawn) return;
    n.withdrawn = true;
    if (n.onWithdraw === 'hold') n.rulings.push({ kind: 'hold', since: this.open + 1, lapses: false });
    if (n.onWithdraw === 'pool') n.pooledFrom = this.open + 1;
  }

  /** ruling(n, p) of §3.4: the last in the log of those in force in p. */
  ruling(n, p) {
    return n.rulings.findLast((r) => r.since <= p);
  }

  onHold(n, p) {
    const r = this.ruling(n, p);
    return r?.kind === 'hold' && (!r.lapses || p < r.since + 12);
  }

  payout(e) {
    this.once(this.payouts, e.statement);
    const c = this.currencyOf(e.currency);
    const lines = (e.lines ?? []).map(({ payee, amountMinor }) => {
      identifier(payee, 'payee');
      const fine = number(amountMinor, 1n, maxRecord, 'amountMinor') * c.minor;
      must(fine <= maxRecord, 'the fine amount is out of range');
      return { payee, fine, returned: false };
    });
    for (const l of lines) c.paid.set(l.payee, fits((c.paid.get(l.payee) ?? 0n) + l.fine));
    this.payouts.set(e.statement, { currency: c, lines });
  }

  payoutResult({ payout, index = 0, returned = false }) {
    const p = this.payouts.get(payout);
    must(p && Number.isInteger(index) && index >= 0 && index < p.lines.length, `there is no line ${index} of ${payout}`);
    const line = p.lines[index];
    must(!line.returned, `the line ${index} of ${payout} was returned already`);
    if (!returned) return;
    line.returned = true;
    const paid = p.currency.paid;
    paid.set(line.payee, fits((paid.get(line.payee) ?? 0n) - line.fine));
  }

  // §3.5 Adjustments

  adjustment({ statement, period, currency, agreement }) {
    identifier(statement, 'statement');
    const p = month(period, 'period');
    const c = this.currencyOf(currency);
    const a = this.agreements.get(agreement);
    must(p >= this.first && p < this.open, `the period ${period} is not closed`);
    must(a && a.retroactive && a.came > 0, `${agreement} is not retroactive or not in force`);
    const before = c.applied.get(p) ?? [];
    if (before.includes(a)) return;
    const amounts = (retro) => {
      this.retro = new Set(retro);
      const events = c.past.get(p) ?? [];
      const sums = new Map();
      for (const s of new Set(events.map((ev) => ev.snapshot))) {
        for (const f of this.flow(s, events.filter((ev) => ev.snapshot === s))) {
          for (const [party, part] of f.keptParts) sums.set(party, fits((sums.get(party) ?? 0n) + part));
        }
      }
      this.retro = new Set();
      return sums;
    };
    const was = amounts(before);
    const is = amounts([...before, a]);
    for (const party of new Set([...was.keys(), ...is.keys()])) {
      const amount = (is.get(party) ?? 0n) - (was.get(party) ?? 0n);
      if (amount !== 0n) c.adjusted.push({ party, amount, statement });
    }
    c.applied.set(p, [...before, a]);
  }

  // §4. The run of (P, C), P the open period, at its close.

  run(c) {
    const P = this.open;
    const statements = new Map(); // payee -> what its statement says
    const of = (party) => {
      if (!statements.has(party)) {
        statements.set(party, { lines: [], moves: [], credit: 0n, debit: 0n });
      }
      return statements.get(party);
    };
    const credited = (party, amount) => {
      if (amount > 0n) of(party).credit = fits(of(party).credit + amount);
      else of(party).debit = fits(of(party).debit - amount);
    };

    this.moves(P, c, of, credited);
    for (const { party, amount, statement } of c.adjusted) {
      of(party).moves.push({ amountFine: amount, kind: 'adjusted', statement });
      credited(party, amount);
    }
    c.adjusted = [];
    const snapshots = new Map();
    for (const ev of c.counted) {
      if (!snapshots.has(ev.snapshot)) snapshots.set(ev.snapshot, []);
      snapshots.get(ev.snapshot).push(ev);
    }
    const nodeLeaves = [];
    for (const s of [...snapshots.keys()].sort((a, b) => a - b)) {
      const flows = this.flow(s, snapshots.get(s));
      for (const f of flows) {
        this.lines(P, s, c, f, of, credited);
        nodeLeaves.push(nodeLeaf(s, f));
      }
    }

    // §4.4 Balances, and §5: who has a statement.
    const heldOf = new Map();
    let heldFine = 0n;
    for (const parties of c.held.values()) {
      for (const [party, amount] of parties) {
        of(party);
        heldOf.set(party, fits((heldOf.get(party) ?? 0n) + amount));
        heldFine = fits(heldFine + amount);
      }
    }
    for (const party of c.paid.keys()) of(party);
    for (const party of c.balance.keys()) of(party);
    const leaves = [];
    for (const party of [...statements.keys()].sort(bytewise)) {
      const { lines, moves, credit, debit } = statements.get(party);
      const open = c.balance.get(party) ?? 0n;
      const paid = c.paid.get(party) ?? 0n;
      const close = fits(open + credit - debit - paid);
      add(c.balance, party, close - open);
      lines.sort((a, b) => bytewise(a.period, b.period) || bytewise(a.statement, b.statement) || isRetained(a) - isRetained(b));
      moves.sort((a, b) => bytewise(a.statement, b.statement) || bytewise(a.kind, b.kind));
      leaves.push(
        record({
          closeFine: close,
          creditFine: credit,
          currency: c.code,
          debitFine: debit,
          engine: 'credit/1',
          heldFine: heldOf.get(party) ?? 0n,
          lines: lines.length > 0 ? lines : undefined,
          moves: moves.length > 0 ? moves : undefined,
          openFine: open,
          paidFine: paid,
          payee: party,
          period: monthText(P),
        }),
      );
    }

    // §6 Trees
    const eventLeaves = c.counted.map((ev) =>
      record({
        amountFine: ev.fine,
        event: ev.statement,
        period: monthText(ev.snapshot),
        settlement: ev.settlement,
        statement: ev.node.statement,
      }),
    );
    const inFine = c.counted.reduce((sum, ev) => sum + ev.fine, 0n);
    c.counted = [];
    c.volume = 0n;
    c.paid = new Map();
    return {
      period: monthText(P),
      currency: c.code,
      statements: leaves,
      statementsRoot: treeRoot(leaves),
      eventsRoot: treeRoot(eventLeaves),
      nodesRoot: treeRoot(nodeLeaves),
      inFine,
      heldFine,
    };
  }

  // §4.1 Moves

  moves(P, c, of, credited) {
    for (const [statement, parties] of [...c.held]) {
      const n = this.nodes.get(statement);
      if (this.onHold(n, P)) continue;
      const move = (kind, party, amount) => {
        of(party).moves.push({ amountFine: amount, kind, statement });
        if (kind !== 'forfeited') credited(party, amount);
      };
      const ruling = this.ruling(n, P);
      let sum = 0n;
      for (const amount of parties.values()) sum = fits(sum + amount);
      if (ruling?.kind === 'reallocate' && ruling.since === P && sum > 0n) {
        for (const [party, amount] of parties) move('forfeited', party, amount);
        for (const [party, part] of apportion(sum, ruling.shares.by)) {
          if (part !== 0n) move('reallocated', party, part);
        }
        c.held.delete(statement);
        continue;
      }
      const agreed = this.shares(n, P).agreed;
      for (const [party, amount] of [...parties]) {
        if (n.contributors.by.has(party) && !n.signed.has(party) && !agreed) continue;
        move('released', party, amount);
        parties.delete(party);
      }
      if (parties.size === 0) c.held.delete(statement);
    }
  }

  // §4.2 Flow

  /** flow returns what the passes of snapshot s leave at each node, by statement. */
  flow(s, events) {
    const result = new Map();
    const at = (n) => {
      if (!result.has(n)) {
        result.set(n, { node: n, direct: 0n, inflow: 0n, kept: 0n, retained: 0n, keptParts: new Map(), retainedParts: new Map() });
      }
      return result.get(n);
    };
    this.pass(s, events.filter((ev) => ev.fine >= 0n), at);
    this.pass(s, events.filter((ev) => ev.fine < 0n), at);
    return [...result.values()].sort((a, b) => bytewise(a.node.statement, b.node.statement));
  }

  pass(s, events, at) {
    const upstream = new Map(); // U
    const inflow = new Map(); // in
    const waiting = new Set();
    for (const ev of events) {
      const f = at(ev.node);
      f.direct = fits(f.direct + ev.fine);
      add(ev.settlement === 'gross' ? inflow : upstream, ev.node, ev.fine);
      waiting.add(ev.node);
    }
    // Amounts go only to nodes of a lower place, so the highest is complete.
    while (waiting.size > 0) {
      let n = null;
      for (const w of waiting) if (!n || w.place > n.place) n = w;
      waiting.delete(n);
      const give = (amount) => {
        const parts = apportion(amount, n.flow, selfLast);
        for (const [statement, part] of parts) {
          if (statement === self || part === 0n) continue;
          const parent = this.nodes.get(statement);
          add(inflow, parent, part);
          waiting.add(parent);
        }
        return parts.get(self);
      };
      const u = upstream.get(n) ?? 0n;
      const i = inflow.get(n) ?? 0n;
      const retained = u === 0n ? 0n : give(u);
      let kept = i === 0n ? 0n : give(i);
      if (s >= n.pooledFrom && kept !== 0n) {
        add(inflow, n.pool, kept);
        waiting.add(n.pool);
        kept = 0n;
      }
      const f = at(n);
      f.inflow = fits(f.inflow + u + i);
      f.kept = fits(f.kept + kept);
      f.retained = fits(f.retained + retained);
      const shares = this.shares(n, s).by;
      if (kept !== 0n) for (const [party, part] of apportion(kept, shares)) add(f.keptParts, party, part);
      if (retained !== 0n) for (const [party, part] of apportion(retained, shares)) add(f.retainedParts, party, part);
    }
  }

  // §4.3 Lines

  lines(P, s, c, f, of, credited) {
    const n = f.node;
    const shares = this.shares(n, s);
    const line = (party, amount, keptFine, state) => {
      of(party).lines.push({
        amountFine: amount,
        keptFine,
        period: monthText(s),
        state,
        statement: n.statement,
        total: shares.total,
        weight: shares.by.get(party),
      });
    };
    const hold = this.onHold(n, P);
    const unagreed = !shares.agreed && !this.shares(n, P).agreed;
    for (const [party, amount] of f.keptParts) {
      const held = hold || (unagreed && !n.signed.has(party));
      line(party, amount, f.kept, held ? 'held' : undefined);
      if (held) {
        const parties = inner(c.held, n.statement);
        add(parties, party, amount);
        if (parties.size === 0) c.held.delete(n.statement);
      } else {
        credited(party, amount);
      }
    }
    for (const [party, amount] of f.retainedParts) line(party, amount, f.retained, 'retained');
  }
}

// §5. Payee statements.

const isRetained = (line) => (line.state === 'retained' ? 1 : 0);

/** record is the RFC 8785 form of a record of strings, amounts and lists, whose
 * members are written in their order here. No string needs an escape (§1). */
function record(members) {
  const parts = [];
  for (const [name, value] of Object.entries(members)) {
    if (value === undefined) continue;
    const text = Array.isArray(value) ? `[${value.map(record).join(',')}]` : `"${value}"`;
    parts.push(`"${name}":${text}`);
  }
  return `{${parts.join(',')}}`;
}

// §6. Trees.

const sha256 = (...chunks) => {
  const h = createHash('sha256');
  for (const chunk of chunks) h.update(chunk);
  return h.digest();
};

/** treeRoot is MTH of RFC 6962 §2.1. */
function treeRoot(leaves) {
  const mth = (hashes) => {
    if (hashes.length === 1) return hashes[0];
    let k = 1;
    while (k * 2 < hashes.length) k *= 2;
    return sha256(Buffer.of(1), mth(hashes.slice(0, k)), mth(hashes.slice(k)));
  };
  if (leaves.length === 0) return sha256().toString('hex');
  return mth(leaves.map((leaf) => sha256(Buffer.of(0), leaf))).toString('hex');
}

function nodeLeaf(s, f) {
  return record({
    directFine: f.direct,
    inflowFine: f.inflow,
    keptFine: f.kept,
    period: monthText(s),
    retainedFine: f.retained,
    statement: f.node.statement,
    upFine: f.inflow - f.kept - f.retained,
  });
}

// §8. World files and the result digest.

function replay(text) {
  let world;
  try {
    world = JSON.parse(text);
  } catch (err) {
    throw new Refused(err.message);
  }
  must(world.format === 'cairn.credit.world/1' && Array.isArray(world.log), 'this is no world');
  const engine = new Engine(world.firstPeriod);
  world.log.forEach((effect, i) => {
    try {
      engine.apply(effect);
    } catch (err) {
      if (err instanceof Refused) err.message = `log[${i}]: ${err.message}`;
      throw err;
    }
  });
  return engine.runs; // by period, then currency code
}

const resultDigest = (runs) => sha256(...runs.flatMap((r) => r.statements)).toString('hex');

/** treeDigest is SHA-256 over a line for each run in which something stands:
 * period, currency, the roots of statements, events and nodes, inFine and
 * heldFine. It is no part of the format; it lets a test compare them all. */
function treeDigest(runs) {
  const empty = treeRoot([]);
  const lines = runs
    .filter((r) => r.statementsRoot !== empty || r.eventsRoot !== empty)
    .map((r) => [r.period, r.currency, r.statementsRoot, r.eventsRoot, r.nodesRoot, r.inFine, r.heldFine].join(' ') + '\n');
  return sha256(...lines).toString('hex');
}

function main(args) {
  const trees = args.includes('--trees');
  const statements = args.includes('--statements');
  const files = args.filter((a) => !a.startsWith('--'));
  const worlds =
    files.length > 0
      ? files.map((f) => readFileSync(f, 'utf8'))
      : readFileSync(0, 'utf8').split('\n').filter((line) => line !== '');
  const out = [];
  for (const text of worlds) {
    try {
      const runs = replay(text);
      if (statements) out.push(...runs.flatMap((r) => r.statements));
      else out.push(trees ? `${resultDigest(runs)} ${treeDigest(runs)}` : resultDigest(runs));
    } catch (err) {
      if (!(err instanceof Refused)) throw err;
      out.push(`refused ${err.message}`);
      process.exitCode = 1;
    }
  }
  process.stdout.write(out.map((line) => line + '\n').join(''));
}

main(process.argv.slice(2));

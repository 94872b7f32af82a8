/** How much is measured during training, so that it takes a small part of the time. */

/** Time spent by a training. */
export interface TickTime {
  /** Images trained on since the previous tick. */
  readonly images: number;
  /** Seconds since the previous tick. */
  readonly seconds: number;
  /** Seconds of training in this process. */
  readonly elapsed: number;
}

/** The largest part of the time of training that measurements take. */
const SHARE = 0.02;

/** What was measured, and how long it took. */
export interface MeasurementCost {
  /** Rounds evaluated. */
  readonly rounds: number;
  /** Seconds for that. */
  readonly evaluation: number;
  /** Seconds of preparation for those that had not been evaluated before. */
  readonly preparation: number;
}

/**
 * Decides how many rounds of samples are measured at a tick. The first time a round is measured it must be prepared, which is kept.
 * The number doubles while a measurement at every tick would stay within the share; it never falls, so that a run is measured with the
 * same samples from early on. A tick that cannot afford that many goes without.
 */
export class MeasurementBudget {
  readonly #most: number;
  #spent = 0;
  /** Rounds that are prepared. */
  #rounds = 0;
  /** Seconds per round. */
  #evaluation: number | undefined;
  #preparation: number;

  /**
   * @param most - the largest number of rounds
   * @param preparation - a guess of the seconds that it takes to prepare one
   */
  constructor({ most, preparation }: { readonly most: number; readonly preparation: number }) {
    this.#most = most;
    this.#preparation = preparation;
  }

  /**
   * Rounds to measure now: a power of 2, or 0 for none.
   *
   * @param guess - seconds to evaluate a round, if none has been evaluated yet
   */
  roundsFor({ seconds, elapsed }: TickTime, guess: number): number {
    const allowance = SHARE * elapsed - this.#spent;
    const evaluation = this.#evaluation ?? guess;
    const isAffordable = (rounds: number): boolean =>
      rounds * evaluation + Math.max(rounds - this.#rounds, 0) * this.#preparation <= allowance;
    let rounds = Math.max(this.#rounds, 1);
    while (2 * rounds <= this.#most && 2 * rounds * evaluation <= SHARE * seconds && isAffordable(2 * rounds))
      rounds *= 2;
    return isAffordable(rounds) ? rounds : 0;
  }

  /** Takes account of a measurement. */
  spend({ rounds, evaluation, preparation }: MeasurementCost): void {
    this.#spent += evaluation + preparation;
    this.#evaluation = evaluation / rounds;
    if (rounds <= this.#rounds) return;
    this.#preparation = preparation / (rounds - this.#rounds);
    this.#rounds = rounds;
  }
}

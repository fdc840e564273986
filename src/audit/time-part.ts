/** What a line says of its time. Of all that one second has, three digits in two places differ. */

const before = '","original_time":"';
/** Of a time in ISO 8601, up to its thousandths. */
const upToThousandths = 'YYYY-MM-DDTHH:MM:SS.'.length;
const zero = 0x30;
/** Years from 10000 on are written with a sign and six digits. */
const lastOfFourDigits = Date.UTC(10_000, 0);

export class TimePart {
	#second = Number.NaN;
	#timeMs = Number.NaN;
	#bytes = Buffer.alloc(0);

	/** Ends the text that stands before it, then the members of the time in milliseconds since the epoch. Valid until the next call. */
	at(timeMs: number): Buffer {
		if (timeMs === this.#timeMs) return this.#bytes;
		const second = Math.floor(timeMs / 1000);
		if (second === this.#second && Number.isInteger(timeMs)) {
			const thousandths = timeMs - second * 1000;
			this.#write(thousandths, before.length + upToThousandths);
			this.#write(thousandths, this.#bytes.length - 3);
		} else {
			this.#bytes = Buffer.from(`${before}${new Date(timeMs).toISOString()}"},"time":${timeMs}`);
			// The digits of others are not where they are sought, or not the same twice.
			this.#second = timeMs >= 1000 && timeMs < lastOfFourDigits && Number.isInteger(timeMs) ? second : Number.NaN;
		}
		this.#timeMs = timeMs;
		return this.#bytes;
	}

	#write(thousandths: number, at: number): void {
		const bytes = this.#bytes;
		const hundreds = (thousandths / 100) | 0;
		const tens = (thousandths / 10) | 0;
		bytes[at] = zero + hundreds;
		bytes[at + 1] = zero + tens - hundreds * 10;
		bytes[at + 2] = zero + thousandths - tens * 10;
	}
}

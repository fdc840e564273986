/** SQL: what triggers and rules of views do in place of the server's own writing through them. */

/** Rows: relation, and I, U and D for INSERT, UPDATE and DELETE that a row trigger INSTEAD OF or a rule DO INSTEAD without a condition stands for. */
export const INSTEAD = `
	select rel, case when bit_or(events) & 4 = 0 then '' else 'I' end || case when bit_or(events) & 16 = 0 then '' else 'U' end
		|| case when bit_or(events) & 8 = 0 then '' else 'D' end as instead
	from (
		select tgrelid, tgtype::int from pg_trigger where not tgisinternal and (tgtype & 65) = 65
		union all
		select ev_class, case ev_type when '3' then 4 when '2' then 16 else 8 end from pg_rewrite
		where ev_type <> '1' and is_instead and ev_qual::text = '<>'
	) i (rel, events) group by rel`;

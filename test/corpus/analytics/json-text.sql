select id, attributes ->> 'color' as color, (attributes -> 'weight')::int as weight from sales.products order by id limit 5;

select attributes #>> '{sizes,0}', attributes -> 'sizes' -> 1, attributes ? 'color', attributes @> '{"color": "red"}' from sales.products order by id limit 3;

select p.id, e.key, e.value from sales.products p, jsonb_each_text(p.attributes) e where p.id < 3 order by 1, 2;

select p.id, s from sales.products p, jsonb_array_elements_text(p.attributes -> 'sizes') s where p.id < 3 order by 1, 2;

select attributes['color'], jsonb_typeof(attributes), jsonb_array_length(attributes -> 'sizes') from sales.products order by id limit 2;

select jsonb_set(attributes, '{color}', '"pink"'), attributes - 'sizes', attributes || '{"a": 1}', jsonb_pretty(attributes) from sales.products order by id limit 1;

select jsonb_path_query_array(attributes, '$.sizes[*]'), jsonb_path_exists(attributes, '$.color'), attributes @? '$.weight ? (@ > 50)' from sales.products order by id limit 3;

select json_agg(json_build_object('id', id, 'name', name) order by id) from crm.customers where id < 6;

select jsonb_object_agg(code, name) from crm.countries;

select row_to_json(k) from crm.countries k order by code limit 2;

select row_to_json(c) from crm.customers c order by id limit 2;

select to_jsonb(c) -> 'email', to_jsonb(c) ->> 'card' from crm.customers c order by id limit 2;

select json_agg(c) from (select id, email from crm.customers order by id limit 3) c;

select json_build_array(1, 'a', null), json_strip_nulls('{"a": null}'), jsonb_build_object('a', 1) @> '{"a": 1}';

select * from jsonb_to_recordset('[{"a": 1, "b": "x"}, {"a": 2}]') as r (a int, b text);

select * from json_to_record('{"a": 1, "b": [1, 2]}') as r (a int, b int[]);

select x.* from json_table('[{"a": 1}, {"a": 2}]'::jsonb, '$[*]' columns (n for ordinality, a int path '$.a')) x;

select json_value('{"a": 5}'::jsonb, '$.a' returning int), json_query('{"a": [1]}'::jsonb, '$.a'), json_exists('{"a": 5}'::jsonb, '$.b');

select json_object('a': 1, 'b': name), json_array(1, 2, id) from crm.countries, (values (1)) v (id) order by code limit 2;

select '{"a": 1}'::json is json, '{' is json, 'x' is not json object;

select c.id, j.theme from crm.customers c left join lateral jsonb_to_record(c.profile) as j (theme text) on true order by c.id limit 3;

select id, name, ts_rank(search, q) as rank from sales.products, to_tsquery('english', 'lamp | rope') q where search @@ q order by rank desc, id limit 5;

select id from sales.products where search @@ plainto_tsquery('english', 'useful thing') and search @@ websearch_to_tsquery('english', 'running -atlas') order by id limit 3;

select ts_headline('english', description, to_tsquery('english', 'useful')) from sales.products order by id limit 2;

select to_tsvector('simple', 'a b c') @@ 'b'::tsquery, phraseto_tsquery('english', 'fat cats'), numnode('a & b'::tsquery), strip(to_tsvector('a b'));

select xmlelement(name p, xmlattributes(code as c), name) from crm.countries order by code limit 2;

select xmlagg(xmlelement(name c, name) order by code) from crm.countries;

select xpath('/a/b/text()', '<a><b>1</b></a>'::xml), xmlforest(code, name) from crm.countries order by code limit 1;

select x.* from xmltable('/r/i' passing (xml '<r><i a="1">x</i></r>') columns a int path '@a', t text path '.') x;

// OpenAI's JavaScript SDK, four of its majors, as its users call it; prints what each saw, as one line of JSON.

const [url] = process.argv.slice(2);
const MAJORS = { 7: "openai", 6: "openai-6", 5: "openai-5", 4: "openai-4" };
const TOOL = { type: "function", function: { name: "weather", parameters: { type: "object" } } };

async function seen(OpenAI, major) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
  const completions = client.beta?.chat?.completions?.stream ? client.beta.chat.completions : client.chat.completions;
  const ask = (word, fields) => ({
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: `${word} ${major}` }],
    ...fields,
  });
  const error = (thrown) => ({ error: thrown.constructor.name, code: thrown.code });

  async function iterated(word, fields) {
    const told = { text: "", finish: null };
    try {
      const { data, response } = await client.chat.completions
        .create(ask(word, { stream: true, ...fields }))
        .withResponse();
      told.cache = response.headers.get("cache-status").replace(/; ttl.*/, "");
      const [id, at] = [response.headers.get("x-request-id"), response.headers.get("location")];
      for await (const chunk of data) {
        told.same = chunk.id === id && at.endsWith(id);
        told.text += chunk.choices[0]?.delta.content ?? "";
        told.finish = chunk.choices[0]?.finish_reason ?? told.finish;
        told.usage = chunk.usage?.total_tokens;
        if (told.text && word === "silent") await fetch(`${url}${at}/stop`, { method: "POST" });
        if (told.text && word === "endless") break;
      }
    } catch (thrown) {
      Object.assign(told, error(thrown));
    }
    return told;
  }

  async function helped(word, fields) {
    try {
      const completion = await completions.stream(ask(word, fields)).finalChatCompletion();
      const { message } = completion.choices[0];
      return { text: message.content, calls: message.tool_calls?.map((call) => call.function.arguments) ?? [] };
    } catch (thrown) {
      return error(thrown);
    }
  }

  async function aborted() {
    const stream = await client.chat.completions.create(ask("endless aborted", { stream: true }));
    for await (const chunk of stream) if (chunk.choices[0].delta.content) stream.controller.abort();
  }

  const usage = { stream_options: { include_usage: true } };
  const [, , live, counted, helper, tools, length, cut, cutHelped, refused, retried, stopped, together] =
    await Promise.all([
      aborted(),
      iterated("endless"),
      iterated("live"),
      iterated("counted", usage),
      helped("plain"),
      helped("tools", { tools: [TOOL] }),
      iterated("length"),
      iterated("cut"),
      helped("cut"),
      iterated("refused"),
      iterated("retried"),
      iterated("silent"),
      Promise.all([iterated("together"), iterated("together")]),
    ]);
  const [cached, whole] = [await iterated("live"), await client.chat.completions.create(ask("live"))];
  const models = (await client.models.list()).data.map((model) => model.id);
  return {
    ...{ live, counted, helper, tools, length, cut, cutHelped, refused, retried, stopped, together, cached, models },
    whole: whole.choices[0].message.content,
  };
}

const told = await Promise.all(
  Object.entries(MAJORS).map(async ([major, name]) => [major, await seen((await import(name)).default, major)]),
);
console.log(JSON.stringify(Object.fromEntries(told)));

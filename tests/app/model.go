package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// model is a stand-in for a language model behind the API of OpenAI. It has the agent run one command and finish when it has seen what that printed.
type model struct {
	address string // as in the settings: the base URL
	server  *http.Server

	mu       sync.Mutex // protects what follows
	requests []string   // bodies
	keys     []string   // what came as Authorization
}

// modelCommand is what the model has the agent run, and modelProof what it prints. Agent Canvas has its own tool, which runs canvasCommand, or longCommand
// for somebody who says longMessage.
const (
	modelCommand  = `echo "proof-$((40+2))" | tee -a /workspace/proof.txt`
	canvasCommand = `pwd; echo "proof-$((40+2))" | tee -a proof.txt`
	longCommand   = "sleep 600"
	longMessage   = "Wait for ten minutes."
	modelProof    = "proof-42"
)

func startModel() (*model, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &model{address: "http://" + listener.Addr().String() + "/v1"}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}
	go func() { _ = m.server.Serve(listener) }() // until it is closed; a failure shows as a failed call
	return m, nil
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request struct {
		Messages []struct {
			Role    string
			Content any
		}
		Tools  []struct{ Function struct{ Name string } }
		Stream bool
	}
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	m.requests, m.keys = append(m.requests, string(body)), append(m.keys, r.Header.Get("Authorization"))
	m.mu.Unlock()
	message := map[string]any{"role": "assistant", "content": "A short title"}
	if last := len(request.Messages) - 1; len(request.Tools) > 0 && last >= 0 {
		name, arguments := "execute_bash", map[string]any{"command": modelCommand, "security_risk": "LOW"}
		end := map[string]any{"message": "done", "task_completed": "true"}
		for _, tool := range request.Tools {
			if tool.Function.Name == "terminal" {
				name, arguments, end = "terminal", map[string]any{"command": canvasCommand}, map[string]any{"message": "That is all."}
			}
		}
		if request.Messages[last].Role == "user" && strings.Contains(fmt.Sprint(request.Messages[last].Content), longMessage) {
			arguments["command"] = longCommand
		}
		if request.Messages[last].Role == "tool" && strings.Contains(fmt.Sprint(request.Messages[last].Content), modelProof) {
			name, arguments = "finish", end
		}
		text, err := json.Marshal(arguments)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		message = map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{
			"id": fmt.Sprintf("call-%d", len(request.Messages)), "type": "function", "function": map[string]any{"name": name, "arguments": string(text)},
		}}}
	}
	reason := "stop"
	if message["tool_calls"] != nil {
		reason = "tool_calls"
	}
	answer := map[string]any{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o"}
	usage := map[string]any{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
	if request.Stream {
		w.Header().Set("Content-Type", "text/event-stream")
		answer["object"] = "chat.completion.chunk"
		for _, piece := range pieces(message) {
			answer["choices"] = []any{map[string]any{"index": 0, "delta": piece, "finish_reason": nil}}
			writeEvent(w, answer)
		}
		answer["choices"] = []any{map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": reason}}
		writeEvent(w, answer)
		answer["choices"], answer["usage"] = []any{}, usage
		writeEvent(w, answer)
		_, _ = fmt.Fprint(w, "data: [DONE]\n\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer["choices"], answer["usage"] = []any{map[string]any{"index": 0, "finish_reason": reason, "message": message}}, usage
	_ = json.NewEncoder(w).Encode(answer) // who asked has gone, if it fails
}

// pieces cuts a message as a model does that is asked for a stream: a text by its words, the arguments of a call in the middle.
func pieces(message map[string]any) []any {
	if text, isText := message["content"].(string); isText {
		parts := []any{}
		for _, word := range strings.SplitAfter(text, " ") {
			parts = append(parts, map[string]any{"role": "assistant", "content": word})
		}
		return parts
	}
	call := message["tool_calls"].([]any)[0].(map[string]any)
	function := call["function"].(map[string]any)
	arguments := function["arguments"].(string)
	rest := func(part string) any {
		return map[string]any{"tool_calls": []any{map[string]any{"index": 0, "function": map[string]any{"arguments": part}}}}
	}
	return []any{
		map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{
			"index": 0, "id": call["id"], "type": "function", "function": map[string]any{"name": function["name"], "arguments": ""},
		}}},
		rest(arguments[:len(arguments)/2]), rest(arguments[len(arguments)/2:]),
	}
}

// writeEvent writes one piece of a stream at once.
func writeEvent(w http.ResponseWriter, content any) {
	raw, err := json.Marshal(content)
	if err != nil {
		return // it was made here, of what JSON can hold
	}
	_, _ = fmt.Fprintf(w, "data: %s\n\n", raw) // who asked has gone, if it fails
	if flusher, can := w.(http.Flusher); can {
		flusher.Flush()
	}
}

// seen are the bodies of the requests so far.
func (m *model) seen() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.requests)
}

// takeKeys returns what came as Authorization since the last call.
func (m *model) takeKeys() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := strings.Join(m.keys, "\n")
	m.keys = nil
	return keys
}

func (m *model) close() error { return m.server.Close() }
